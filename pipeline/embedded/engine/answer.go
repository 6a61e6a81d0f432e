package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// answer writes one response: headers, compression, errors before and after the body has begun.
type answer struct {
	s     *server
	w     http.ResponseWriter
	req   *request // nil while the request has not been understood
	began time.Time

	out     io.Writer // set by begin
	layers  []io.Closer
	started bool
	mark    string // of an exception in mid-stream
}

// contentTypes are ClickHouse's own; what is not here is application/octet-stream or text.
var contentTypes = map[string]string{
	"JSON": "application/json; charset=UTF-8", "JSONCompact": "application/json; charset=UTF-8",
	"JSONStrings": "application/json; charset=UTF-8", "JSONColumns": "application/json; charset=UTF-8",
	"JSONEachRow": "application/x-ndjson; charset=UTF-8", "JSONCompactEachRow": "application/x-ndjson; charset=UTF-8",
	"JSONStringsEachRow": "application/x-ndjson; charset=UTF-8",
	"CSV":                "text/csv; charset=UTF-8; header=absent", "CSVWithNames": "text/csv; charset=UTF-8; header=present",
	"CSVWithNamesAndTypes": "text/csv; charset=UTF-8; header=present",
	"TabSeparated":         "text/tab-separated-values; charset=UTF-8", "TSV": "text/tab-separated-values; charset=UTF-8",
	"TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8", "TSVWithNames": "text/tab-separated-values; charset=UTF-8",
	"XML": "application/xml; charset=UTF-8", "Native": "application/octet-stream", "RowBinary": "application/octet-stream",
	"RowBinaryWithNames": "application/octet-stream", "RowBinaryWithNamesAndTypes": "application/octet-stream",
	"Parquet": "application/octet-stream", "Arrow": "application/octet-stream", "ArrowStream": "application/octet-stream",
}

func contentType(format string) string {
	if t := contentTypes[format]; t != "" {
		return t
	}
	return "text/plain; charset=UTF-8"
}

// headers sets what every answer carries.
func (a *answer) headers(did progress) {
	h := a.w.Header()
	set(h, "X-ClickHouse-Server-Display-Name", a.s.displayName)
	set(h, "X-ClickHouse-Timezone", a.s.timezone)
	if a.req != nil {
		set(h, "X-ClickHouse-Query-Id", oneLine(a.req.queryID))
		for _, p := range a.req.settings {
			if p.name == "session_timezone" && p.value != "" {
				set(h, "X-ClickHouse-Timezone", oneLine(p.value))
			}
		}
	}
	// The key order and the quoted numbers are what a server sends; JDBC reads them as strings.
	set(h, "X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d",`+
		`"total_rows_to_read":"%d","result_rows":"%d","result_bytes":"%d","elapsed_ns":"%d","memory_usage":"0"}`,
		did.readRows, did.readBytes, did.writtenRows, did.writtenBytes, did.readRows,
		max(did.resultRows, did.writtenRows), max(did.resultBytes, did.writtenBytes), time.Since(a.began).Nanoseconds()))
	h.Set("Connection", "Keep-Alive")
}

// begin sends the headers and sets up the way to the client. size is the body's length before compression, -1 unknown.
func (a *answer) begin(format string, did progress, size int64) error {
	a.headers(did)
	h := a.w.Header()
	if format != "" {
		set(h, "X-ClickHouse-Format", oneLine(format))
		h.Set("Content-Type", contentType(format))
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	a.mark = hex.EncodeToString(random[:])
	set(h, "X-ClickHouse-Exception-Tag", a.mark)
	a.out = a.w
	switch {
	case a.req.compress:
		frames := newFrameWriter(a.w, a.req.compression)
		a.out, a.layers = frames, append(a.layers, frames)
	case a.req.encoding != "" && size != 0:
		enc, err := encoded(a.w, a.req.encoding)
		if err != nil {
			return err
		}
		h.Set("Content-Encoding", a.req.encoding)
		h.Add("Vary", "Accept-Encoding")
		a.out, a.layers = enc, append(a.layers, enc)
	case size >= 0:
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	a.started = true
	return nil
}

// end closes what begin opened.
func (a *answer) end() error {
	for _, layer := range a.layers {
		if err := layer.Close(); err != nil {
			return err
		}
	}
	return nil
}

// whole answers with a result that is in memory.
func (a *answer) whole(format string, data []byte, did progress) error {
	if err := a.begin(format, did, int64(len(data))); err != nil {
		return err
	}
	if _, err := a.out.Write(data); err != nil {
		return err
	}
	return a.end()
}

// fail answers with an error. Where the body has begun, the client gets ClickHouse's exception block and then a
// connection that breaks before the last chunk, so that no client takes what it has for the whole.
func (a *answer) fail(err error) {
	gone := errors.Is(err, context.Canceled)
	e := asException(err)
	text := strings.TrimRight(e.text, "\n")
	if !strings.Contains(text, "(version ") {
		text += " (version " + a.s.version + ")"
	}
	fields := []zap.Field{zap.Int("code", e.code), zap.String("error", text)}
	if a.req != nil {
		fields = append(fields, zap.String("query_id", a.req.queryID))
	}
	a.s.log.Debug("a request failed", fields...)
	if a.started {
		if !gone {
			for _, layer := range a.layers {
				if frames, ok := layer.(*frameWriter); ok {
					frames.plain() // clickhouse-go looks for the block in the bytes as they come
				}
			}
			fmt.Fprintf(a.out, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", a.mark, text, len(text)+1, a.mark)
			for _, layer := range a.layers {
				if f, ok := layer.(interface{ Flush() error }); ok {
					f.Flush()
				}
			}
			http.NewResponseController(a.w).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	a.headers(progress{})
	h := a.w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	set(h, "X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	if e.code == codeAuthFailed {
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	a.w.WriteHeader(status(e.code))
	io.WriteString(a.w, text+"\n")
}

// set writes a header in ClickHouse's own spelling, which Go's would turn into X-Clickhouse-: some readers compare letters.
func set(h http.Header, name, value string) { h[name] = []string{value} }

// oneLine keeps a client's text from becoming a header of its own.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
