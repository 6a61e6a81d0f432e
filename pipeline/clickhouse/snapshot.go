package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
	"go.uber.org/zap"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// snapshotChunk is how many facts are handed over at once.
const snapshotChunk = 8 << 10

// snapshotChunks is how many of those are in memory: one that is read, one
// that is folded, and one between them.
const snapshotChunks = 3

// Snapshot hands over what is stored of facts with after < revision <= upTo, in
// chunks: every content of each identity, those that lost included, for which
// of them counts is decided among those that are known. A content that was said
// again has the revision at which it was said first. Of a fact there is what a
// timeline needs: identity, time, hash, revision and payload; those of types
// without a payload are left out. It belongs to fold, with all that hangs on it,
// until fold returns.
//
// What is stored of this incarnation of the context log reaches at least to
// LedgerEnd of its topic, asked before; facts beyond that may be among them,
// which changes nothing, for a timeline is a function of the set. For that reason
// there is also no order to rely on; there is one that makes folding cheap: first
// what gives services their names and what unsays other facts, then entity by
// entity what may be let go of (timeline.Loading), after what stays and before the
// changes that nobody needs.
//
// A row that nobody can read is left out and logged: if one could end a start, no
// worker would ever start again.
func (c *Client) Snapshot(ctx context.Context, log *zap.Logger, after, upTo uint64, fold func([]event.Fact)) error {
	for _, types := range [...]string{
		"type IN (" + namingTypes + ")",
		"type NOT IN (" + namingTypes + ") AND entity_kind NOT IN ('deployment', 'incident', 'change')",
		"entity_kind IN ('deployment', 'incident')",
		"entity_kind = 'change'",
	} {
		// Before FINAL, which then merges no data that is not asked for; copies of
		// one content are of one type and entity.
		query := snapshotQuery + " PREWHERE type IN (" + payloadTypes + ") AND " + types + snapshotRange(after, upTo)
		if err := c.snapshot(ctx, log, query, fold); err != nil {
			return fmt.Errorf("snapshot of facts: %w", err)
		}
	}
	return nil
}

// SnapshotInOrder is Snapshot in the order of the revisions: for who has to know
// what each fact changed.
func (c *Client) SnapshotInOrder(ctx context.Context, log *zap.Logger, after, upTo uint64, fold func([]event.Fact)) error {
	query := snapshotQuery + " PREWHERE type IN (" + payloadTypes + ")" + snapshotRange(after, upTo) + " ORDER BY fact_contents.revision"
	if err := c.snapshot(ctx, log, query, fold); err != nil {
		return fmt.Errorf("snapshot of facts: %w", err)
	}
	return nil
}

// snapshotQuery selects what snapshotRows has.
const snapshotQuery = "SELECT source, id, type, toUnixTimestamp64Milli(time) AS at, content_hash, revision, data FROM whence_state.fact_contents FINAL"

func snapshotRange(after, upTo uint64) string {
	return fmt.Sprintf(" WHERE revision > %d AND revision <= %d", after, upTo)
}

// namingTypes are those that Snapshot begins with.
const namingTypes = "'" + event.Prefix + "service.declared', '" + event.Prefix + "identity.declared', '" + retracted + "'"

// payloadTypes are those that have a payload: no timeline needs the others.
var payloadTypes = func() string {
	var names []string
	for _, t := range event.Types() {
		if codec.HasPayload(t.Name) {
			names = append(names, "'"+t.Name+"'")
		}
	}
	return strings.Join(names, ", ")
}()

// snapshot reads a chunk while the one before is folded.
func (c *Client) snapshot(ctx context.Context, log *zap.Logger, query string, fold func([]event.Fact)) error {
	free, full := make(chan *snapshotRows, snapshotChunks), make(chan *snapshotRows, snapshotChunks)
	for range snapshotChunks {
		free <- newSnapshotRows(log)
	}
	var failed error
	go func() {
		defer close(full)
		failed = c.readSnapshot(ctx, query, free, full)
	}()
	for rows := range full {
		fold(rows.facts)
		free <- rows
	}
	return failed
}

// One thread reads faster than a timeline folds, and keeps to the table's order.
func (c *Client) readSnapshot(ctx context.Context, query string, free <-chan *snapshotRows, full chan<- *snapshotRows) error {
	result, err := c.stream(ctx, query, url.Values{"max_threads": {"1"}, "max_block_size": {strconv.Itoa(snapshotChunk)}})
	if err != nil {
		return err
	}
	defer result.close()
	for {
		rows := <-free
		n, err := result.next(rows.columns)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rows.decode(n)
		full <- rows
	}
}

// snapshotRows is one block of the result and the facts in it, whose strings
// are those of the block.
type snapshotRows struct {
	source, typ    words
	id, data       proto.ColStr
	time           proto.ColInt64
	hash, revision proto.ColUInt64
	columns        proto.Results
	facts          []event.Fact
	payloads       codec.Payloads
	log            *zap.Logger
}

func newSnapshotRows(log *zap.Logger) *snapshotRows {
	r := &snapshotRows{log: log}
	r.columns = proto.Results{
		{Data: r.source.column()}, {Data: &r.id}, {Data: r.typ.column()}, {Data: &r.time}, {Data: &r.hash}, {Data: &r.revision}, {Data: &r.data},
	}
	return r
}

func (r *snapshotRows) decode(n int) {
	r.facts = r.facts[:0]
	r.payloads.Reset()
	r.source.read()
	r.typ.read()
	for i := range n {
		e := event.Event{ID: view(r.id.RowBytes(i)), Source: r.source.row(i), Type: r.typ.row(i), Time: event.Millis(r.time[i]), Hash: r.hash[i]}
		payload, err := r.payloads.Read(e.Type, r.data.RowBytes(i))
		if err != nil {
			// Copies, for who logs may keep them and the block is used again.
			r.log.Error("a stored fact can't be read and counts for nothing", zap.String("source", strings.Clone(e.Source)),
				zap.String("id", strings.Clone(e.ID)), zap.String("type", strings.Clone(e.Type)), zap.Uint64("revision", r.revision[i]), zap.Error(err),
				zap.String("hint", "the row was written by another version, or by hand: rewrite or delete it"))
			continue
		}
		r.facts = append(r.facts, event.Fact{Event: e, Revision: r.revision[i], Payload: payload})
	}
}

// words is a column of LowCardinality(String), with a string a word and not,
// as ch-go's has it, a row.
type words struct {
	raw   proto.ColLowCardinalityRaw
	index proto.ColStr
	texts []string
}

func (w *words) column() proto.ColResult {
	w.raw.Index = &w.index
	return &w.raw
}

// read makes the words of the block that has come in.
func (w *words) read() {
	w.texts = w.texts[:0]
	for i := range w.index.Rows() {
		w.texts = append(w.texts, view(w.index.RowBytes(i)))
	}
}

func (w *words) row(i int) string {
	switch w.raw.Key {
	case proto.KeyUInt8:
		return w.texts[w.raw.Keys8[i]]
	case proto.KeyUInt16:
		return w.texts[w.raw.Keys16[i]]
	case proto.KeyUInt32:
		return w.texts[w.raw.Keys32[i]]
	}
	return w.texts[w.raw.Keys64[i]]
}

// view is b as a string, good as long as b does not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
