package clickhouse

import (
	stdbytes "bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
)

// Body is a block as it goes over the wire. It can be sent as often as it
// takes, also after the block was reset.
type Body struct {
	Table string
	Rows  int
	query string
	bytes []byte
}

// frameSize is how much goes into one compressed frame, as ClickHouse itself
// does it (max_compress_block_size).
const frameSize = 1 << 20

// encoding is memory that encoding a block needs and that outlives none.
type encoding struct {
	raw    proto.Buffer
	writer *compress.Writer
}

var encodings = sync.Pool{New: func() any {
	return &encoding{writer: compress.NewWriter(compress.LevelZero, compress.LZ4)}
}}

// Encode lays a block out for sending: the Native format, LZ4 frames. (To an
// engine on the same machine, 50,000 rows take as long packed, 2 MB, as not,
// 11 MB; over a network packed is faster.)
func Encode(block tables.Block) (*Body, error) {
	e := encodings.Get().(*encoding)
	defer encodings.Put(e)
	input := block.Input()
	e.raw.Reset()
	header := proto.Block{Columns: len(input), Rows: block.Rows()}
	// Version 0 of the protocol: what HTTP has unless one asks for more.
	if err := header.EncodeRawBlock(&e.raw, 0, input); err != nil {
		return nil, pipeline.Fatalf("this is a bug", "encode a block of %s: %w", block.Table(), err)
	}
	body := &Body{Table: block.Table(), Rows: block.Rows(), query: statement(block.Table(), input)}
	for raw := e.raw.Buf; len(raw) > 0; {
		n := min(len(raw), frameSize)
		if err := e.writer.Compress(raw[:n]); err != nil {
			return nil, fmt.Errorf("compress a block of %s: %w", block.Table(), err)
		}
		body.bytes = append(body.bytes, e.writer.Data...)
		raw = raw[n:]
	}
	return body, nil
}

func statement(table string, input proto.Input) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " (")
	for i, column := range input {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("`" + column.Name + "`")
	}
	b.WriteString(") FORMAT Native")
	return b.String()
}

// Insert stores a block under a deduplication token: all of it, or, with an
// error, perhaps some of it; the same block with the same token then stores
// the rest and nothing twice. An empty block is not sent. Errors carry table
// and token, and are pipeline.Retryable or Fatal.
func (c *Client) Insert(ctx context.Context, block tables.Block, token string) error {
	if block.Rows() == 0 {
		return nil
	}
	body, err := Encode(block)
	if err != nil {
		return err
	}
	return c.Send(ctx, body, token)
}

// Send stores a block that was encoded before. See Insert.
func (c *Client) Send(ctx context.Context, body *Body, token string) error {
	if err := pipeline.Fenced(ctx); err != nil {
		return fmt.Errorf("insert into %s: %w", body.Table, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.InsertTimeout)
	defer cancel()
	header, err := c.post(ctx, body.params(token), body.bytes)
	if err == nil {
		err = body.check(header)
	}
	if err != nil {
		return fmt.Errorf("insert %d rows into %s under token %s: %w", body.Rows, body.Table, token, err)
	}
	return nil
}

// oneBlock is more rows than any batch has: the thresholds at which the server
// would cut a body into several blocks, each deduplicated under a token of its
// own.
const oneBlock = 1 << 30

func (b *Body) params(token string) url.Values {
	if pipeline.Mutated("no-token") {
		token = rand.Text()
	}
	return url.Values{
		"query":                      {b.query},
		"decompress":                 {"1"},
		"insert_deduplication_token": {token},
		"insert_deduplicate":         {"1"},
		"deduplicate_blocks_in_dependent_materialized_views": {"1"},
		// A buffered insert is acknowledged before it is stored.
		"async_insert": {"0"},
		// Events may be of any day: 0 is no limit.
		"max_partitions_per_insert_block": {"0"},
		"max_insert_block_size":           {strconv.Itoa(oneBlock)},
		"min_insert_block_size_rows":      {strconv.Itoa(oneBlock)},
		"min_insert_block_size_bytes":     {strconv.Itoa(oneBlock)},
		// Through a table over shards: acknowledged when the shards have it.
		"distributed_foreground_insert": {"1"},
		// The status says whether it was stored, and the summary how much.
		"wait_end_of_query": {"1"},
		"session_timezone":  {"UTC"},
	}
}

// check compares what the server says it wrote with what was sent.
func (b *Body) check(header http.Header) error {
	rows, err := written(header)
	if err != nil {
		return err
	}
	if rows < uint64(b.Rows) {
		return &pipeline.Error{Class: pipeline.Retryable, Err: fmt.Errorf("the server wrote %d rows of %d", rows, b.Rows)}
	}
	return nil
}

// newRequest makes a POST with a body whose length is stated and that can be
// sent again when an idle connection turns out to be closed.
func newRequest(ctx context.Context, endpoint string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, stdbytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return request, nil
}

func secure() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
