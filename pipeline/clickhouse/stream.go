package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/whencehq/whence/pipeline"
)

// stream is the result of a query, block by block, while the server is still at
// work: for results of many rows. (database/sql makes a value of each field,
// which costs five times as much.)
type stream struct {
	reply *http.Response
	from  recent
	in    *proto.Reader
}

// stream begins a query. Its result must be closed; ctx bounds all of it.
func (c *Client) stream(ctx context.Context, query string, settings url.Values) (*stream, error) {
	params := url.Values{"default_format": {"Native"}, "session_timezone": {"UTC"}}
	for name, value := range settings {
		params[name] = value
	}
	packed := !c.near()
	if packed {
		params.Set("compress", "1")
	}
	reply, err := c.send(ctx, params, []byte(query))
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		defer reply.Body.Close()
		return nil, exceptionIn(reply)
	}
	s := &stream{reply: reply, from: recent{reader: reply.Body}}
	s.in = proto.NewReader(&s.from)
	if packed {
		s.in.EnableCompression()
	}
	return s, nil
}

// near says whether the server is on this machine, where packing a result costs
// more than passing it on.
func (c *Client) near() bool {
	host := c.endpoint.Hostname()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func (s *stream) close() { s.reply.Body.Close() }

// longestBlock is more rows than any block has that was not misread.
const longestBlock = 1 << 24

// next reads a block into columns, in place of what they hold, and returns how
// many rows it has. At the end of the result the error is io.EOF, and nothing
// else is.
func (s *stream) next(columns proto.Results) (rows int, err error) {
	var block proto.Block
	// The format has no end of its own. The result is whole if the body ends in
	// order, and where a block would begin.
	if block.Columns, err = s.in.Int(); errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	if err == nil {
		block.Rows, err = s.in.Int()
	}
	if err == nil && (block.Rows < 0 || block.Rows > longestBlock) {
		err = fmt.Errorf("a block of %d rows", block.Rows)
	}
	if err == nil {
		err = columns.DecodeResult(s.in, 0, block)
	}
	if err != nil {
		return 0, s.broken(err)
	}
	return block.Rows, nil
}

// broken says why a result could not be read to its end. A server that meets an
// error when it has begun to answer writes it where the next block would be.
// Which it is does not matter: what won't get better by itself is said before.
func (s *stream) broken(err error) error {
	_, _ = io.Copy(io.Discard, io.LimitReader(&s.from, recentBytes))
	if said := inStream.FindAll(s.from.bytes, -1); len(said) > 0 {
		err = &Exception{Text: firstLine(string(said[len(said)-1]))}
	} else if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &pipeline.Error{Class: pipeline.Retryable, Err: fmt.Errorf("the result breaks off: %w", err)}
}

var inStream = regexp.MustCompile(`Code: \d+\. DB::Exception: [^\n]*`)

// recentBytes is the size of the block that ClickHouse says an error in.
const recentBytes = 16 << 10

// recent keeps the last bytes that were read.
type recent struct {
	reader io.Reader
	bytes  []byte
}

func (r *recent) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	r.bytes = append(r.bytes, p[max(0, n-recentBytes):n]...)
	if excess := len(r.bytes) - recentBytes; excess > 0 {
		r.bytes = r.bytes[:copy(r.bytes, r.bytes[excess:])]
	}
	return n, err
}
