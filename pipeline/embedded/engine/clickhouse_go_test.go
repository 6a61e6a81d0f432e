package engine_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// options are clickhouse-go's over HTTP.
func (c client) options(method clickhouse.CompressionMethod) *clickhouse.Options {
	return &clickhouse.Options{
		Addr: []string{c.addr}, Protocol: clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: c.database, Username: c.user, Password: c.password},
		Compression: &clickhouse.Compression{Method: method, Level: 3},
	}
}

var methods = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
	"gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate, "brotli": clickhouse.CompressionBrotli,
}

func dial(t testing.TB, c client, method clickhouse.CompressionMethod) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(c.options(method))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestClickHouseGoReadsAndWritesEveryTypeWithEveryCompression(t *testing.T) {
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			c := engineFor(t)
			conn, ctx := dial(t, c, method), t.Context()
			if err := conn.Ping(ctx); err != nil {
				t.Fatal(err)
			}
			version, err := conn.ServerVersion()
			if err != nil || version.Version.Major != 26 || version.Revision != 0 {
				t.Fatalf("%v %v", version, err)
			}
			if err := conn.Exec(ctx, `CREATE TABLE t (id UInt64, tags Map(LowCardinality(String), String), list Array(String),
				service LowCardinality(String), at DateTime64(3, 'UTC'), version UInt128, maybe Nullable(Float64), nested Array(Array(Int32)),
				name FixedString(4), day Date, ok Bool, uid UUID, kind Enum8('a' = 1, 'b' = 2), pair Tuple(a UInt8, b String), big Decimal(38, 9))
				ENGINE = MergeTree ORDER BY id`); err != nil {
				t.Fatal(err)
			}
			at := time.Date(2026, 11, 23, 12, 34, 56, 789e6, time.UTC)
			huge, _ := new(big.Int).SetString("340282366920938463463374607431768211455", 10)
			const count = 5000
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO t (id, tags, list, service, at, version, maybe, nested)")
			if err != nil {
				t.Fatal(err)
			}
			for i := range count {
				var maybe *float64
				if i%2 == 0 {
					maybe = new(float64)
					*maybe = float64(i) / 2
				}
				if err := batch.Append(uint64(i), map[string]string{"k": strconv.Itoa(i), "z": "\x00binary\xff"}, []string{"a", strconv.Itoa(i)},
					"service-"+strconv.Itoa(i%7), at.Add(time.Duration(i)*time.Millisecond), huge, maybe, [][]int32{{1, int32(i)}, {}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			rows, err := conn.Query(ctx, "SELECT id, tags, list, service, at, version, maybe, nested FROM t WHERE id >= {from:UInt64} AND service != {not:String} ORDER BY id",
				clickhouse.Named("from", "10"), clickhouse.Named("not", "service-3"))
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			n := 0
			for rows.Next() {
				var (
					id      uint64
					tags    map[string]string
					list    []string
					service string
					when    time.Time
					version big.Int
					maybe   *float64
					nested  [][]int32
				)
				if err := rows.Scan(&id, &tags, &list, &service, &when, &version, &maybe, &nested); err != nil {
					t.Fatal(err)
				}
				i := int(id)
				if tags["k"] != strconv.Itoa(i) || tags["z"] != "\x00binary\xff" || list[1] != strconv.Itoa(i) || service != "service-"+strconv.Itoa(i%7) ||
					!when.Equal(at.Add(time.Duration(i)*time.Millisecond)) || version.Cmp(huge) != 0 || (maybe == nil) != (i%2 == 1) || nested[0][1] != int32(i) {
					t.Fatalf("row %d came back as %v %v %v %v %v %v %v", i, tags, list, service, when, &version, maybe, nested)
				}
				n++
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			want := 0
			for i := 10; i < count; i++ {
				if i%7 != 3 {
					want++
				}
			}
			if n != want {
				t.Errorf("%d rows, want %d", n, want)
			}
			var names []string
			if err := conn.Select(ctx, &[]struct {
				Name string `ch:"name"`
			}{}, "SHOW TABLES"); err != nil {
				t.Error(err)
			}
			var one string
			if err := conn.QueryRow(ctx, "SELECT name FROM system.tables WHERE database = currentDatabase()").Scan(&one); err != nil || one != "t" {
				t.Errorf("tables %q %v %v", one, names, err)
			}
			err = conn.Exec(ctx, "SELECT nope FROM t")
			if err == nil {
				err = conn.QueryRow(ctx, "SELECT nope FROM t").Err()
			}
			var exception *clickhouse.Exception
			if !errors.As(err, &exception) || exception.Code != 47 {
				if err == nil || !strings.Contains(err.Error(), "Code: 47") && !strings.Contains(err.Error(), "code: 47") {
					t.Errorf("the error is %v", err)
				}
			}
		})
	}
}

func TestClickHouseGoWorksThroughDatabaseSQL(t *testing.T) {
	c := engineFor(t)
	db := clickhouse.OpenDB(c.options(clickhouse.CompressionLZ4))
	defer db.Close()
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (id UInt64, name String) ENGINE = MergeTree ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	insert, err := tx.PrepareContext(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := insert.ExecContext(t.Context(), uint64(i), fmt.Sprint("n", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	var n uint64
	var name string
	if err := db.QueryRowContext(t.Context(), "SELECT count(), max(name) FROM t WHERE id < ?", 50).Scan(&n, &name); err != nil || n != 50 || name != "n9" {
		t.Errorf("%d %q %v", n, name, err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT name FROM t WHERE id = 1000").Scan(&name); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no rows: %v", err)
	}
}

// cutTransport breaks each upload's connection off after half of its body, as often as it is told to.
type cutTransport struct {
	http.RoundTripper
	cuts atomic.Int64
}

func (c *cutTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && strings.Contains(r.URL.Query().Get("query"), "INSERT") && c.cuts.Add(-1) >= 0 {
		var whole bytes.Buffer
		whole.ReadFrom(r.Body)
		r.Body.Close()
		r = r.Clone(r.Context())
		r.Body = readCloser{brokenReader{bytes.NewReader(whole.Bytes()[:whole.Len()/2])}}
		r.ContentLength = -1
	}
	return c.RoundTripper.RoundTrip(r)
}

type readCloser struct{ brokenReader }

func (readCloser) Close() error { return nil }

func TestClickHouseGosInsertCutOffIsStoredWholeByItsRetry(t *testing.T) {
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			c := engineFor(t)
			c.must(t, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100")
			o := c.options(method)
			cut := &cutTransport{}
			cut.cuts.Store(1)
			o.TransportFunc = func(rt *http.Transport) (http.RoundTripper, error) {
				cut.RoundTripper = rt
				return cut, nil
			}
			conn, err := clickhouse.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "batch", "max_partitions_per_insert_block": 0}))
			var failures int
			for range 3 { // the cut one, its retry, and one more that counts for nothing
				batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
				if err != nil {
					t.Fatal(err)
				}
				for i := range 100000 {
					batch.Append(uint64(i) * 0x9e3779b97f4a7c15)
				}
				if err := batch.Send(); err != nil {
					failures++
					if got := c.must(t, "SELECT count() FROM t"); got != "0\n" {
						t.Fatalf("the cut insert stored %s", got)
					}
				}
			}
			if got := c.must(t, "SELECT count() FROM t"); got != "100000\n" || failures != 1 {
				t.Errorf("%s rows after %d failures", got, failures)
			}
		})
	}
}

func TestClickHouseGoSeesAnErrorInMidStream(t *testing.T) {
	c := engineFor(t)
	for name, method := range methods {
		conn := dial(t, c, method)
		rows, err := conn.Query(t.Context(), "SELECT throwIf(number = 3000000, 'now') FROM numbers(4000000)")
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			rows.Close()
		}
		if err == nil {
			t.Errorf("%s: a part was taken for the whole", name)
		}
		t.Logf("%s: %.120v", name, err)
	}
}

func TestTenMillionRowsStreamInBoundedMemory(t *testing.T) {
	child := start(t, t.TempDir())
	c := client{addr: child.Addr()}
	const count = 10_000_000
	for _, name := range []string{"lz4", "gzip", "none"} {
		if testing.Short() && name != "lz4" {
			continue
		}
		conn := dial(t, c, methods[name])
		peak := watchMemory(t, child.PID())
		rows, err := conn.Query(t.Context(), "SELECT number FROM numbers({n:UInt64})", clickhouse.Named("n", strconv.Itoa(count)))
		if err != nil {
			t.Fatal(err)
		}
		var n, sum, number uint64
		for rows.Next() {
			if err := rows.Scan(&number); err != nil {
				t.Fatal(err)
			}
			n++
			sum += number
		}
		rows.Close()
		if err := rows.Err(); err != nil || n != count || sum != count*(count-1)/2 {
			t.Errorf("%s: %d rows, sum %d: %v", name, n, sum, err)
		}
		checkMemory(t, name, peak())
	}
	// JSON is one document: the engine writes it as it goes.
	peak := watchMemory(t, child.PID())
	if r := c.post(t, "SELECT number FROM numbers(10000000) FORMAT JSON", nil); r.err != nil || !strings.Contains(r.body[len(r.body)-200:], `"rows": 10000000`) {
		t.Error(r.err)
	}
	checkMemory(t, "JSON", peak())
}

// memoryBound is what the engine may take while it streams; a held result would be 200 to 400 MB on top of 200.
const memoryBound = 400 << 20

func checkMemory(t *testing.T, name string, peak int64) {
	t.Helper()
	if peak > memoryBound {
		t.Errorf("%s: the engine took %d MB", name, peak>>20)
	}
	t.Logf("%s: peak memory of the engine %d MB", name, peak>>20)
}

// watchMemory follows a process's resident memory; the returned function ends that and gives the peak in bytes.
func watchMemory(t testing.TB, pid int) (peak func() int64) {
	t.Helper()
	if residentMemory(pid) == 0 {
		t.Log("resident memory is not known on this system")
	}
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan int64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var highest int64
		for {
			highest = max(highest, residentMemory(pid))
			select {
			case <-ctx.Done():
				result <- highest
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { stop(); return <-result }
}

func residentMemory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}
