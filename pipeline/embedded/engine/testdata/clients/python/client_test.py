"""clickhouse-connect against the engine: client_test.py HOST PORT CUT_PORT DATABASE.

CUT_PORT leads to the same engine through a proxy that breaks every connection off in the middle of a large upload.
Exits with 0 when everything holds.
"""

import datetime
import random
import sys
import uuid

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

host, port, cut_port, database = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def connect(port=port, **options):
    return clickhouse_connect.get_client(host=host, port=port, database=database, **options)


def check(what, ok):
    if not ok:
        sys.exit("FAILED: " + what)
    print("ok:", what, flush=True)


client = connect()
check("connects and knows the version", client.server_version.startswith("26.7."))
check("pings", client.ping())

client.command("CREATE TABLE types (id UInt64, tags Map(LowCardinality(String), String), list Array(String), "
               "service LowCardinality(String), at DateTime64(3, 'UTC'), version UInt128, maybe Nullable(Float64), uid UUID) "
               "ENGINE = MergeTree ORDER BY id")
check("lists tables", client.query("SHOW TABLES").result_rows == [("types",)])
check("describes a table", [c.name for c in client.query("SELECT * FROM types LIMIT 0").column_types] is not None)

at = datetime.datetime(2026, 11, 23, 12, 34, 56, 789000, tzinfo=datetime.timezone.utc)
uid = uuid.uuid4()
rows = [[i, {"k": str(i)}, ["a", str(i)], "s%d" % (i % 7), at, 2**128 - 1, None if i % 2 else i / 2, uid] for i in range(5000)]
names = ["id", "tags", "list", "service", "at", "version", "maybe", "uid"]
for compression in ("lz4", "zstd", "gzip", False):
    c = connect(compress=compression)
    c.command("TRUNCATE TABLE types")
    summary = c.insert("types", rows, column_names=names)
    check("inserts with %s and learns how much" % compression, summary.written_rows == 5000)
    got = c.query("SELECT * FROM types WHERE id >= {low:UInt64} AND service IN {of:Array(String)} ORDER BY id",
                  parameters={"low": 10, "of": ["s1", "s2"]}).result_rows
    want = [r for r in rows if r[0] >= 10 and r[3] in ("s1", "s2")]
    # Times come back in UTC, with or without saying so.
    got = [[v.replace(tzinfo=datetime.timezone.utc) if isinstance(v, datetime.datetime) else v for v in r] for r in got]
    check("selects typed rows with parameters and %s" % compression, got == want)

try:
    client.query("SELECT nope FROM types")
    check("an error is raised", False)
except DatabaseError as error:
    check("an error has its code", "Code: 47" in str(error) or "code: 47" in str(error).lower() or "UNKNOWN_IDENTIFIER" in str(error))

client.command("CREATE TABLE cut (id UInt64, v String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100")
random.seed(1)
large = [[i, "%032x" % random.getrandbits(128)] for i in range(100000)]
token = {"insert_deduplication_token": "batch-1"}
for compression in (False, "lz4", "gzip"):
    try:
        connect(cut_port, compress=compression, autogenerate_session_id=False).insert("cut", large, column_names=["id", "v"], settings=token)
        check("an insert cut off (%s) fails" % compression, False)
    except (ClickHouseError, OSError):
        check("an insert cut off (%s) fails" % compression, True)
    check("and stores nothing", client.command("SELECT count() FROM cut") == 0)


def dying():
    yield b"1,one\n" * 10000
    raise RuntimeError("the source is gone")


try:
    connect(autogenerate_session_id=False).raw_insert("cut", column_names=["id", "v"], insert_block=dying(), settings=token, fmt="CSV")
    check("an insert whose source fails, fails", False)
except Exception:
    check("an insert whose source fails stores nothing", client.command("SELECT count() FROM cut") == 0)
for _ in range(2):
    client.insert("cut", large, column_names=["id", "v"], settings=token)
check("the retry under the same token stores the whole, once", client.query("SELECT count(), uniqExact(id) FROM cut").result_rows == [(100000, 100000)])

check("settings do not leak", client.command("SELECT getSetting('insert_deduplication_token')") == "")
client.command("CREATE TEMPORARY TABLE scratch (a UInt8)")
check("a session keeps its temporary table", client.query("SELECT count() FROM scratch").result_rows == [(0,)])

# The server says where it has sent all: this client reads slowly, so the engine has to wait rather than hold.
for compression in ("lz4", "gzip"):
    count = total = 0
    with connect(compress=compression).query_column_block_stream("SELECT number, number * 2 AS twice FROM numbers(10000000)") as stream:
        for block in stream:
            count += len(block[0])
            total += int(sum(block[0]))
    check("streams ten million rows (%s)" % compression, count == 10000000 and total == 10000000 * 9999999 // 2)

try:
    connect().query("SELECT throwIf(number = 3000000) FROM numbers(4000000)")
    check("an error in mid-stream is seen", False)
except Exception:
    check("an error in mid-stream is seen", True)
