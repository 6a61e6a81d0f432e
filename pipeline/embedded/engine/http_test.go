package engine_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func TestPingAndTheRootAnswerOk(t *testing.T) {
	c := engineFor(t)
	for _, path := range []string{"/ping", "/"} {
		resp, err := wire.Get("http://" + c.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != "Ok.\n" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
}

func TestTheStatementIsTheParameterThenALineEndThenTheBody(t *testing.T) {
	c := engineFor(t)
	for _, q := range []struct{ sql, body string }{
		{"SELECT 1, 2", ""}, {"", "SELECT 1, 2"}, {"SELECT 1,", "2"}, {"SELECT 1 -- a comment", ", 2"}, {"", "SELECT 1, 2;\n"},
	} {
		if r := c.post(t, q.sql, strings.NewReader(q.body)); r.body != "1\t2\n" {
			t.Errorf("%q + %q: %q", q.sql, q.body, r.body)
		}
	}
}

func TestTheFormatIsTheStatementsElseTheHeadersElseTheParametersElseTabSeparated(t *testing.T) {
	c := engineFor(t)
	for _, q := range []struct {
		sql, want string
		options   []string
	}{
		{"SELECT 1 AS a, 'x' AS b", "1\tx\n", nil},
		{"SELECT 1 AS a, 'x' AS b", "1,\"x\"\n", []string{"default_format", "CSV"}},
		{"SELECT 1 AS a, 'x' AS b", `{"a":1,"b":"x"}` + "\n", []string{"default_format", "CSV", "header:X-ClickHouse-Format", "JSONEachRow"}},
		{"SELECT 1 AS a, 'x' AS b FORMAT TSVWithNames", "a\tb\n1\tx\n", []string{"default_format", "CSV", "header:X-ClickHouse-Format", "JSONEachRow"}},
		{"SELECT 1 AS a, 'x' AS b FORMAT CSV SETTINGS format_csv_delimiter = ';'", "1;\"x\"\n", nil},
		{"SELECT 1 AS format", "1\n", nil},
		{"SELECT 'FORMAT JSON' -- FORMAT JSON", "FORMAT JSON\n", nil},
		{"SHOW TABLES", "", []string{"default_format", "CSV"}},
		{"EXISTS TABLE nothing", "0\n", nil},
	} {
		if r := c.post(t, q.sql, nil, q.options...); r.body != q.want || r.err != nil {
			t.Errorf("%s %v: %q, want %q", q.sql, q.options, r.body, q.want)
		}
	}
}

func TestEveryAnswerCarriesClickHousesHeaders(t *testing.T) {
	c := engineFor(t)
	r := c.post(t, "SELECT number FROM numbers(7)", nil, "query_id", "mine", "default_format", "CSV")
	for name, want := range map[string]string{"X-ClickHouse-Query-Id": "mine", "X-ClickHouse-Format": "CSV", "X-ClickHouse-Timezone": "Etc/UTC"} {
		if got := r.header.Get(name); got != want && !(name == "X-ClickHouse-Timezone" && got != "") {
			t.Errorf("%s is %q", name, got)
		}
	}
	if s := r.header.Get("X-ClickHouse-Summary"); !strings.Contains(s, `"result_rows":"7"`) || !strings.Contains(s, `"read_rows":"7"`) {
		t.Errorf("summary %s", s)
	}
	if r.header.Get("X-ClickHouse-Server-Display-Name") == "" {
		t.Error("no display name")
	}
	if r = c.post(t, "SELECT 1", nil); r.header.Get("X-ClickHouse-Query-Id") == "" {
		t.Error("no query id was made up")
	}
}

func TestErrorsHaveACodeAStatusAndClickHousesWords(t *testing.T) {
	c := engineFor(t)
	for sql, want := range map[string]struct {
		code   string
		status int
	}{
		"SELCT 1":                     {"62", 400},
		"SELECT nope":                 {"47", 404},
		"SELECT * FROM nope":          {"60", 404},
		"SELECT 1; SELECT 2":          {"62", 400},
		"":                            {"62", 400},
		"SELECT 1 FORMAT Nope":        {"73", 404},
		"SELECT throwIf(1)":           {"395", 500},
		"INSERT INTO nope VALUES (1)": {"60", 404},
		"SELECT {x:UInt8}":            {"456", 400},
		"SELECT sleep(3) SETTINGS max_execution_time = 0.1, function_sleep_max_microseconds_per_block = 1": {"160", 500},
	} {
		r := c.post(t, "", strings.NewReader(sql))
		if got := r.header.Get("X-ClickHouse-Exception-Code"); got != want.code || r.status != want.status {
			t.Errorf("%q: code %s status %d, want %v: %s", sql, got, r.status, want, r.body)
		}
		if !strings.HasPrefix(r.body, "Code: "+want.code+". DB::Exception: ") {
			t.Errorf("%q: %q", sql, r.body)
		}
		for _, added := range []string{"OUTFILE", "EXPLAIN AST", "/dev/fd"} {
			if strings.Contains(r.body, added) {
				t.Errorf("%q: the error shows what the server added: %s", sql, r.body)
			}
		}
	}
}

func TestAnErrorInMidStreamBreaksTheResponse(t *testing.T) {
	c := engineFor(t)
	for _, options := range [][]string{nil, {"compress", "1"}, {"header:Accept-Encoding", "gzip"}} {
		r := c.post(t, "SELECT throwIf(number = 3000000, 'now') FROM numbers(4000000)", nil, options...)
		if r.status != 200 || r.err == nil {
			t.Errorf("%v: status %d, error %v: a client would take the part for the whole", options, r.status, r.err)
		}
		if options == nil && !strings.Contains(r.body, "__exception__\r\nCode: 395.") && !strings.Contains(r.body, "DB::Exception: now") {
			t.Errorf("the body ends in %q", r.body[max(0, len(r.body)-300):])
		}
	}
	r := c.post(t, "SELECT throwIf(number = 3000000, 'now') FROM numbers(4000000)", nil, "wait_end_of_query", "1")
	if r.status != 500 || r.err != nil || !strings.HasPrefix(r.body, "Code: 395.") {
		t.Errorf("with wait_end_of_query: status %d, error %v, %.100s", r.status, r.err, r.body)
	}
}

func TestParametersAreBoundNotSpliced(t *testing.T) {
	c := engineFor(t)
	c.must(t, "CREATE TABLE t (id UInt64, name String) ENGINE = MergeTree ORDER BY id")
	c.must(t, "INSERT INTO t VALUES (1, 'a'), (2, 'b''; DROP TABLE t; --')")
	r := c.post(t, "SELECT id FROM {table:Identifier} WHERE name = {name:String} AND id IN {ids:Array(UInt64)}", nil,
		"param_name", "b'; DROP TABLE t; --", "param_ids", "[1,2,3]", "param_table", "t")
	if r.body != "2\n" {
		t.Errorf("%q", r.body)
	}
	if got := c.must(t, "SELECT {x:UInt8} + {y:UInt8} AS z FORMAT JSONEachRow", "param_x", "1", "param_y", "2"); got != `{"z":3}`+"\n" {
		t.Errorf("%q", got)
	}
	if got := c.must(t, "DESCRIBE TABLE {table:Identifier} FORMAT TSV", "param_table", "t"); !strings.HasPrefix(got, "id\tUInt64") {
		t.Errorf("%q", got)
	}
}

func TestSettingsReachTheStatementAndNothingElse(t *testing.T) {
	c := engineFor(t)
	const ask = "SELECT getSetting('max_block_size'), getSetting('final'), getSetting('insert_deduplication_token'), getSetting('async_insert'), getSetting('max_partitions_per_insert_block') FORMAT CSV"
	plain := c.must(t, ask)
	if got := c.must(t, ask, "max_block_size", "123", "final", "1", "insert_deduplication_token", "it's = \"odd\" \\ --x", "async_insert", "1",
		"max_partitions_per_insert_block", "0"); got != `123,true,"it's = ""odd"" \ --x",true,0`+"\n" {
		t.Errorf("%q", got)
	}
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			want := strconv.Itoa(1000 + i)
			if got := c.must(t, "SELECT getSetting('max_block_size') FROM numbers(3) LIMIT 1", "max_block_size", want); got != want+"\n" {
				t.Errorf("request %s saw %q", want, got)
			}
			c.must(t, "SET max_block_size = 77")
		})
	}
	all.Wait()
	if got := c.must(t, ask); got != plain {
		t.Errorf("settings leaked: %q, before %q", got, plain)
	}
	if code := c.refused(t, "SELECT 1", "no_such_setting", "1"); code != "115" {
		t.Errorf("an unknown setting gives %s", code)
	}
	if code := c.refused(t, "SELECT 1", "max_block_size", "many"); code == "" {
		t.Error("a bad value passes")
	}
}

func TestASessionKeepsTemporaryTablesAndSettings(t *testing.T) {
	c := engineFor(t)
	in := []string{"session_id", t.Name(), "session_timeout", "30"}
	c.must(t, "CREATE TEMPORARY TABLE mine (a UInt8)", in...)
	c.must(t, "INSERT INTO mine VALUES (7)", in...)
	c.must(t, "SET max_block_size = 99", in...)
	if got := c.must(t, "SELECT a, getSetting('max_block_size'), getSetting('max_threads') = 1 FROM mine", append(in, "max_threads", "1")...); got != "7\t99\t1\n" {
		t.Errorf("%q", got)
	}
	if got := c.must(t, "SELECT getSetting('max_block_size')", append(in, "max_block_size", "55")...); got != "55\n" {
		t.Errorf("%q", got)
	}
	if got := c.must(t, "SELECT getSetting('max_block_size'), getSetting('max_threads') = 1", in...); got != "99\t0\n" {
		t.Errorf("a request's setting stayed in its session: %q", got)
	}
	if code := c.refused(t, "SELECT * FROM mine"); code != "60" {
		t.Errorf("the temporary table is seen outside its session: %s", code)
	}
	if code := c.refused(t, "SELECT 1", "session_id", "nobody's", "session_check", "1"); code != "372" {
		t.Errorf("session_check of an unknown session gives %s", code)
	}
	c.must(t, "SELECT 1", append(in, "close_session", "1")...)
	if code := c.refused(t, "SELECT 1", append(in, "session_check", "1")...); code != "372" {
		t.Errorf("a closed session gives %s", code)
	}
}

func TestAnExternalTableComesWithTheRequest(t *testing.T) {
	c := engineFor(t)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	w, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="wanted"; filename="wanted"`}, "Content-Type": {"application/octet-stream"}})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "3\n5\n")
	form.Close()
	r := c.post(t, "SELECT number FROM numbers(10) WHERE number IN wanted", &body,
		"wanted_structure", "n UInt64", "wanted_format", "CSV", "header:Content-Type", form.FormDataContentType())
	if r.body != "3\n5\n" {
		t.Errorf("%d %q", r.status, r.body)
	}
}

// lz4Frames compresses as clickhouse-go does.
func lz4Frames(t *testing.T, data []byte) []byte {
	var out []byte
	w := compress.NewWriter(compress.LevelZero, compress.LZ4)
	for chunk := range splitEvery(data, 1000) {
		if err := w.Compress(chunk); err != nil {
			t.Fatal(err)
		}
		out = append(out, w.Data...)
	}
	return out
}

func splitEvery(data []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			k := min(n, len(data))
			if !yield(data[:k]) {
				return
			}
			data = data[k:]
		}
	}
}

// encodings are the ways a body may come, by name.
func encodings(t *testing.T) map[string]struct {
	encode  func([]byte) []byte
	options []string
} {
	through := func(open func(io.Writer) io.WriteCloser) func([]byte) []byte {
		return func(data []byte) []byte {
			var buf bytes.Buffer
			w := open(&buf)
			w.Write(data)
			w.Close()
			return buf.Bytes()
		}
	}
	type encoding = struct {
		encode  func([]byte) []byte
		options []string
	}
	return map[string]encoding{
		"plain":   {func(b []byte) []byte { return b }, nil},
		"gzip":    {through(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }), []string{"header:Content-Encoding", "gzip"}},
		"deflate": {through(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }), []string{"header:Content-Encoding", "deflate"}},
		"lz4":     {through(func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) }), []string{"header:Content-Encoding", "lz4"}},
		"zstd": {through(func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)); return z }),
			[]string{"header:Content-Encoding", "zstd"}},
		"frames": {func(b []byte) []byte { return lz4Frames(t, b) }, []string{"decompress", "1"}},
	}
}

// csvRows is data that does not compress to nothing.
func csvRows(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%d,%x\n", i, uint64(i)*0x9e3779b97f4a7c15)
	}
	return b.Bytes()
}

func TestAnInsertCutOffInTheMiddleStoresNothingAndItsRetryStoresAll(t *testing.T) {
	c := engineFor(t)
	const count = 20000
	data := csvRows(count)
	for name, e := range encodings(t) {
		t.Run(name, func(t *testing.T) {
			table := "cut_" + name
			c.must(t, "CREATE TABLE "+table+" (id UInt64, v String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100")
			body := e.encode(data)
			insert := "INSERT INTO " + table + " FORMAT CSV"
			options := append([]string{"insert_deduplication_token", "batch-1"}, e.options...)
			for _, cut := range []int{1, len(body) / 3, len(body) / 2, len(body) - 1} {
				// The sender says how much comes and sends less.
				sendRaw(t, c, insert, options, body[:cut], fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)), "")
				// Chunked, and the last chunk never comes.
				sendRaw(t, c, insert, options, body[:cut], fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", cut), "\r\n")
				// The sender's own source fails.
				if _, err := c.do(t.Context(), http.MethodPost, insert, brokenReader{bytes.NewReader(body[:cut])}, options...); err == nil {
					t.Error("the broken upload was answered as if it were whole")
				}
				// HTTP is whole, what is in it is not.
				if name != "plain" && (name != "frames" || cut != len(body)/2) {
					if r := c.post(t, insert, bytes.NewReader(body[:cut]), options...); r.status < 400 {
						t.Errorf("cut at %d of %d inside its encoding: status %d", cut, len(body), r.status)
					}
				}
			}
			if got := c.must(t, "SELECT count() FROM "+table); got != "0\n" {
				t.Fatalf("a cut insert stored %s rows", got)
			}
			for range 2 { // and once more, for the deduplication
				r := c.post(t, insert, bytes.NewReader(body), options...)
				if r.status != 200 || !strings.Contains(r.header.Get("X-ClickHouse-Summary"), `"written_rows":"20000"`) {
					t.Fatalf("retry: %d %s %s", r.status, r.header.Get("X-ClickHouse-Summary"), r.body)
				}
			}
			if got := c.must(t, "SELECT count(), uniqExact(id) FROM "+table); got != "20000\t20000\n" {
				t.Fatalf("after the retry there are %s", got)
			}
		})
	}
}

// sendRaw writes a request byte by byte and closes the connection after it, as a process does that dies.
func sendRaw(t *testing.T, c client, sql string, options []string, body []byte, framing, after string) {
	t.Helper()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	query := url.Values{"query": {sql}, "database": {c.database}}
	var headers strings.Builder
	for i := 0; i+1 < len(options); i += 2 {
		if name, ok := strings.CutPrefix(options[i], "header:"); ok {
			fmt.Fprintf(&headers, "%s: %s\r\n", name, options[i+1])
		} else {
			query.Set(options[i], options[i+1])
		}
	}
	fmt.Fprintf(conn, "POST /?%s HTTP/1.1\r\nHost: %s\r\n%s%s", query.Encode(), c.addr, headers.String(), framing)
	conn.Write(body)
	io.WriteString(conn, after)
	// Half closed, so that the answer, if there is one, can be read: waiting for it is waiting for the insert's end.
	conn.(*net.TCPConn).CloseWrite()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // closed without an answer
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 {
		text, _ := io.ReadAll(resp.Body)
		t.Errorf("a cut insert was acknowledged: %d %s", resp.StatusCode, text)
	}
}

func TestAnInsertBeyondTheEnginesBlockSizeCutOffStoresNothing(t *testing.T) {
	c := engineFor(t)
	c.must(t, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	var body bytes.Buffer
	for i := range 3_000_000 { // the engine writes parts from a million rows on
		body.WriteString(strconv.Itoa(i))
		body.WriteByte('\n')
	}
	whole := body.Len()
	sendRaw(t, c, "INSERT INTO t FORMAT TSV", nil, body.Bytes()[:whole-1000], fmt.Sprintf("Content-Length: %d\r\n\r\n", whole), "")
	if got := c.must(t, "SELECT count() FROM t"); got != "0\n" {
		t.Errorf("%s rows of a cut insert are stored", got)
	}
	if r := c.post(t, "INSERT INTO t FORMAT TSV", &body); !strings.Contains(r.header.Get("X-ClickHouse-Summary"), `"written_rows":"3000000"`) {
		t.Errorf("%d %s %s", r.status, r.header.Get("X-ClickHouse-Summary"), r.body)
	}
}

func TestAnswersAreCompressedAsAsked(t *testing.T) {
	c := engineFor(t)
	const sql = "SELECT number, toString(number) FROM numbers(300000)"
	want := c.must(t, sql)
	read := map[string]func(io.Reader) (io.Reader, error){
		"gzip":    func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"deflate": func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		"lz4":     func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil },
		"zstd":    func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	for name, open := range read {
		r := c.post(t, sql, nil, "header:Accept-Encoding", name, "enable_http_compression", "1")
		if r.header.Get("Content-Encoding") != name {
			t.Errorf("%s: Content-Encoding %q", name, r.header.Get("Content-Encoding"))
		}
		in, err := open(strings.NewReader(r.body))
		if err != nil {
			t.Fatal(name, err)
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	for _, method := range []string{"", "LZ4", "ZSTD"} {
		r := c.post(t, sql, nil, "compress", "1", "network_compression_method", method)
		got, err := io.ReadAll(compress.NewReader(strings.NewReader(r.body)))
		if string(got) != want || (err != nil && !strings.Contains(err.Error(), "EOF")) {
			t.Errorf("compress=1 with %q: %d bytes, want %d: %v", method, len(got), len(want), err)
		}
	}
	if r := c.post(t, sql, nil, "header:Accept-Encoding", "gzip", "enable_http_compression", "0"); r.body != want {
		t.Error("compressed although it was switched off")
	}
}

func TestWrittenRowsAreTrue(t *testing.T) {
	c := engineFor(t)
	c.must(t, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	for _, q := range []struct {
		sql, body, want string
	}{
		{"INSERT INTO t FORMAT CSV", "1\n2\n3\n", "3"},
		{"INSERT INTO t VALUES (4), (5)", "", "2"},
		{"INSERT INTO t SELECT number FROM numbers(1000)", "", "1000"},
		{"INSERT INTO t FORMAT CSV", "", "0"},
	} {
		r := c.post(t, q.sql, strings.NewReader(q.body))
		if s := r.header.Get("X-ClickHouse-Summary"); r.status != 200 || !strings.Contains(s, `"written_rows":"`+q.want+`"`) {
			t.Errorf("%s: %d %s %s", q.sql, r.status, s, r.body)
		}
	}
}

func TestATokenIsStoredOnceInATableAndInItsViews(t *testing.T) {
	c := engineFor(t)
	c.must(t, "CREATE TABLE t (id UInt64, v UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000")
	c.must(t, "CREATE TABLE sums (v UInt64) ENGINE = SummingMergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = 1000")
	c.must(t, "CREATE MATERIALIZED VIEW to_sums TO sums AS SELECT sum(v) AS v FROM t")
	for range 3 {
		r := c.post(t, "INSERT INTO t FORMAT CSV", bytes.NewReader([]byte("1,10\n2,20\n")),
			"insert_deduplication_token", "a", "deduplicate_blocks_in_dependent_materialized_views", "1")
		if r.status != 200 {
			t.Fatal(r.body)
		}
	}
	// Other data under a used token vanishes; another token stores the same data again.
	c.must(t, "INSERT INTO t VALUES (3, 30)", "insert_deduplication_token", "a", "deduplicate_blocks_in_dependent_materialized_views", "1")
	c.must(t, "INSERT INTO t VALUES (1, 10)", "insert_deduplication_token", "b", "deduplicate_blocks_in_dependent_materialized_views", "1")
	if got := c.must(t, "SELECT count(), sum(v), (SELECT sum(v) FROM sums) FROM t"); got != "3\t40\t40\n" {
		t.Errorf("%q", got)
	}
}

func TestABatchOver400DaysIsStoredWhenAllowed(t *testing.T) {
	c := engineFor(t)
	c.must(t, "CREATE TABLE t (d Date) ENGINE = MergeTree PARTITION BY d ORDER BY d")
	const sql = "INSERT INTO t SELECT toDate('2024-01-01') + number FROM numbers(400)"
	if code := c.refused(t, sql); code != "252" {
		t.Errorf("without the setting: %s", code)
	}
	c.must(t, sql, "max_partitions_per_insert_block", "0")
	var body bytes.Buffer
	for i := range 400 {
		fmt.Fprintln(&body, time.Unix(0, 0).AddDate(40, 0, i).Format(time.DateOnly))
	}
	if r := c.post(t, "INSERT INTO t FORMAT CSV", &body, "max_partitions_per_insert_block", "0"); r.status != 200 {
		t.Error(r.body)
	}
	if got := c.must(t, "SELECT count() FROM t"); got != "800\n" {
		t.Errorf("%q", got)
	}
}

func TestGetDoesNotWrite(t *testing.T) {
	c := engineFor(t)
	r, err := c.do(t.Context(), http.MethodGet, "CREATE TABLE t (a UInt8) ENGINE = Memory", nil)
	if err != nil || r.header.Get("X-ClickHouse-Exception-Code") != "164" {
		t.Errorf("%v %+v", err, r)
	}
	if r, err = c.do(t.Context(), http.MethodGet, "SELECT 1", nil); err != nil || r.body != "1\n" {
		t.Errorf("%v %+v", err, r)
	}
}

func TestWhatReachesOutsideTheEngineIsRefused(t *testing.T) {
	c := engineFor(t)
	secret := t.TempDir() + "/secret.csv"
	if err := os.WriteFile(secret, []byte("42\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must(t, "CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
	for _, sql := range []string{
		"SELECT * FROM file('" + secret + "')",
		"SELECT * FROM FILE('" + secret + "', CSV, 'a UInt8')",
		"SELECT * FROM /* x */ `file` /* y */ ('" + secret + "')",
		"SELECT file('" + secret + "')",
		"SELECT * FROM t WHERE a IN (SELECT file('" + secret + "'))",
		"SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a UInt8')",
		"SELECT * FROM s3('http://127.0.0.1:1/b/k', CSV, 'a UInt8')",
		"SELECT * FROM remote('127.0.0.1:1', system.one)",
		"SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
		"SELECT * FROM executable('id', CSV, 'a String')",
		"SELECT * FROM sqlite('" + secret + "', 't')",
		"SELECT * FROM filesystem('/etc')",
		"SELECT hasColumnInTable('127.0.0.1:1', 'system', 'one', 'dummy')",
		"DESCRIBE TABLE file('" + secret + "')",
		"EXPLAIN SELECT * FROM file('" + secret + "')",
		"INSERT INTO FUNCTION file('" + secret + "', CSV, 'a UInt8') SELECT 1",
		"INSERT INTO FUNCTION file('" + secret + "', CSV, 'a UInt8') VALUES (1)",
		"INSERT INTO t SELECT * FROM file('" + secret + "')",
		"INSERT INTO t VALUES (file('" + secret + "'))",
		"INSERT INTO t VALUES ('x'), ((SELECT a FROM `file`\n--c\n('" + secret + "', CSV, 'a String')))",
		"INSERT INTO t FROM INFILE '" + secret + "' FORMAT CSV",
		"SELECT 1 INTO OUTFILE '" + secret + ".out'",
		"SELECT 1 INTO OUTFILE '" + secret + "' TRUNCATE FORMAT CSV",
		"CREATE TABLE f (a UInt8) ENGINE = File(CSV, '" + secret + "')",
		"CREATE TABLE f (a UInt8) ENGINE = URL('http://127.0.0.1:1/', CSV)",
		"CREATE TABLE f (a String) ENGINE = MergeTree ORDER BY hasColumnInTable('127.0.0.1:1', 'system', 'one', a)",
		"CREATE TABLE f AS file('" + secret + "')",
		"CREATE TABLE f (a UInt8 DEFAULT file('" + secret + "')) ENGINE = Memory",
		"CREATE TABLE f (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:1/')",
		"CREATE DATABASE f ENGINE = Filesystem('/')",
		"CREATE DATABASE f ENGINE = MySQL('127.0.0.1:1', 'd', 'u', 'p')",
		"CREATE VIEW f AS SELECT * FROM file('" + secret + "')",
		"CREATE MATERIALIZED VIEW f ENGINE = File(CSV) AS SELECT * FROM t",
		"CREATE FUNCTION f AS x -> file(x)",
		"CREATE DICTIONARY f (a UInt64) PRIMARY KEY a SOURCE(FILE(path '" + secret + "' format 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
		"CREATE DICTIONARY f (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(HOST '127.0.0.1' PORT 1 TABLE 't')) LAYOUT(FLAT()) LIFETIME(0)",
		"ATTACH TABLE f FROM '/etc' (a UInt8) ENGINE = MergeTree ORDER BY a",
		"BACKUP TABLE t TO File('" + secret + ".zip')",
		"SELECT 1 FORMAT Template SETTINGS format_template_row = '" + secret + "'",
		"SYSTEM SHUTDOWN",
	} {
		if code := c.refused(t, sql); code != "497" {
			t.Errorf("%s: code %s", sql, code)
		}
	}
	for _, sql := range []string{ // the library's own default database reads files by their name
		"SELECT * FROM `" + secret + "`", "SELECT * FROM '" + secret + "'", "SELECT * FROM default.`" + secret + "`",
	} {
		if code := c.refused(t, sql, "database", "default"); code != "60" && code != "62" {
			t.Errorf("%s: code %s", sql, code)
		}
	}
	for _, sql := range []string{"SET dialect = 'prql'", "SET implicit_select = 1"} {
		if code := c.refused(t, sql); code != "497" {
			t.Errorf("%s: code %s", sql, code)
		}
	}
	if code := c.refused(t, "SELECT 1", "dialect", "kusto"); code != "497" {
		t.Errorf("dialect: code %s", code)
	}
	if code := c.refused(t, "SELECT 1", "format_schema", secret); code != "497" {
		t.Errorf("format_schema: code %s", code)
	}
	if _, err := os.Stat(secret + ".out"); err == nil {
		t.Error("a file was written")
	}
	for _, sql := range []string{ // and what looks alike is not
		"SELECT 'file(1)', 1 AS file, 2 AS url",
		"INSERT INTO t VALUES ('file(''x'')'), (concat('a', 'b'))",
		"SELECT count() FROM numbers(3) AS a, generateSeries(1, 2) AS b, values('x UInt8', 1) AS c",
		"CREATE VIEW v AS SELECT * FROM t",
		"CREATE DICTIONARY d (a String, b String) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 't')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
		"CREATE TABLE hosts (host String, port UInt16, disk String) ENGINE = ReplacingMergeTree ORDER BY host",
	} {
		c.must(t, sql)
	}
}

func TestWhatReachesOutsideCanBeAllowed(t *testing.T) {
	child := start(t, t.TempDir(), "ENGINE_OUTSIDE=1", "ENGINE_PASSWORD=secret")
	path := t.TempDir() + "/in.csv"
	if err := os.WriteFile(path, []byte("42\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := client{addr: child.Addr(), user: "default", password: "secret"}
	if got := c.must(t, "SELECT * FROM file('"+path+"', CSV, 'a UInt8')"); got != "42\n" {
		t.Errorf("%q", got)
	}
	bi := client{addr: child.Addr(), user: "bi", password: "look"}
	if code := bi.refused(t, "SELECT * FROM file('"+path+"', CSV, 'a UInt8')"); code != "497" {
		t.Errorf("the read-only user got %s", code)
	}
}

func TestAReadOnlyUserReadsAndDoesNothingElse(t *testing.T) {
	child := start(t, t.TempDir(), "ENGINE_PASSWORD=secret")
	c := client{addr: child.Addr(), user: "default", password: "secret"}
	c.must(t, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	c.must(t, "INSERT INTO t SELECT number FROM numbers(10)")
	bi := client{addr: child.Addr(), user: "bi", password: "look"}
	for _, sql := range []string{"SELECT sum(a) FROM t", "WITH 1 AS x SELECT 45 * x", "SELECT 45 FORMAT TSV"} {
		if got := bi.must(t, sql); got != "45\n" {
			t.Errorf("%s: %q", sql, got)
		}
	}
	for _, sql := range []string{"SHOW TABLES", "DESCRIBE TABLE t", "EXPLAIN SELECT * FROM t", "SELECT * FROM system.tables", "EXISTS TABLE t"} {
		bi.must(t, sql, "session_id", "s", "max_execution_time", "10", "output_format_json_quote_64bit_integers", "0", "readonly", "1")
	}
	for _, sql := range []string{
		"INSERT INTO t VALUES (1)", "INSERT INTO t SELECT 1", "CREATE TABLE u (a UInt8) ENGINE = Memory", "DROP TABLE t", "TRUNCATE TABLE t",
		"ALTER TABLE t DELETE WHERE 1", "ALTER TABLE t ADD COLUMN b UInt8", "OPTIMIZE TABLE t FINAL", "SET readonly = 0",
		"SET max_threads = 1", "SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_memory_usage = 1", "SYSTEM STOP MERGES",
		"KILL QUERY WHERE 1", "CREATE TEMPORARY TABLE x (a UInt8)", "USE default", "RENAME TABLE t TO u", "DETACH TABLE t", "CREATE FUNCTION f AS x -> x",
	} {
		if code := bi.refused(t, sql); code != "164" {
			t.Errorf("%s: code %s", sql, code)
		}
	}
	if code := bi.refused(t, "SELECT 1", "max_memory_usage", "1"); code != "164" {
		t.Errorf("a setting: code %s", code)
	}
	if code := bi.refused(t, "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a UInt8')"); code != "497" {
		t.Errorf("url(): code %s", code)
	}
	if got := c.must(t, "SELECT count() FROM t"); got != "10\n" {
		t.Errorf("rows changed: %q", got)
	}
}

func TestAWrongPasswordIs516And403(t *testing.T) {
	child := start(t, t.TempDir(), "ENGINE_PASSWORD=secret")
	for _, c := range []client{{}, {user: "default", password: "wrong"}, {user: "nobody", password: "secret"}, {user: "bi", password: "secret"}} {
		c.addr = child.Addr()
		r := c.post(t, "SELECT 1", nil)
		if r.status != 403 || r.header.Get("X-ClickHouse-Exception-Code") != "516" {
			t.Errorf("%+v: %d %s", c, r.status, r.body)
		}
	}
	anyone := client{addr: child.Addr()}
	for _, options := range [][]string{
		{"user", "default", "password", "secret"},
		{"header:X-ClickHouse-User", "default", "header:X-ClickHouse-Key", "secret"},
	} {
		if r := anyone.post(t, "SELECT 1", nil, options...); r.body != "1\n" {
			t.Errorf("%v: %s", options, r.body)
		}
	}
}

func TestAWebPageCanNotUseAnEngineWithoutAPassword(t *testing.T) {
	c := engineFor(t)
	if r := c.post(t, "SELECT 1", nil, "header:Origin", "https://example.com"); r.status != 403 {
		t.Errorf("another site's page got %d %s", r.status, r.body)
	}
	if r := c.post(t, "SELECT 1", nil, "header:Origin", "http://localhost:3000"); r.status != 200 {
		t.Errorf("a local page got %d %s", r.status, r.body)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/?query=SELECT+1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example.com"
	resp, err := wire.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("a rebound name got %d", resp.StatusCode)
	}
}

func TestAClientThatGoesAwayTakesItsStatementWithIt(t *testing.T) {
	c := engineFor(t)
	for _, sql := range []string{
		"SELECT sum(sipHash64(number)) FROM numbers(1000000000000)", // no result while it runs
		"SELECT number FROM numbers(1000000000000)",                 // a result without end
		"INSERT INTO FUNCTION null('n UInt64') SELECT sipHash64(number) FROM numbers(1000000000000)",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			c.do(ctx, http.MethodPost, sql, nil)
		}()
		running := func() string {
			return c.must(t, "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%system.processes%'")
		}
		until(t, sql+" runs", 10*time.Second, func() bool { return running() == "1\n" })
		cancel()
		<-gone
		until(t, sql+" is cancelled", 10*time.Second, func() bool { return running() == "0\n" })
	}
}

func TestQueriesRunSideBySide(t *testing.T) {
	c := engineFor(t)
	ctx, cancel := context.WithCancel(t.Context())
	slow := make(chan struct{})
	go func() {
		defer close(slow)
		c.do(ctx, http.MethodPost, "SELECT sum(sipHash64(number)) FROM numbers(2000000000000) SETTINGS max_threads = 1", nil)
	}()
	for range 50 {
		c.must(t, "SELECT 1")
	}
	select {
	case <-slow:
		t.Error("the long statement ended before the short ones")
	default:
	}
	cancel()
	<-slow
}
