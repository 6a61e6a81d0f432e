package tables

import (
	"github.com/ClickHouse/ch-go/proto"

	"github.com/whencehq/whence/schemas/event"
)

// Block is rows of one table, laid out in columns. A block is for one batch at
// a time: fill it, insert it, Reset it, use it again. The strings appended
// must not change until Reset (those of a batch don't).
type Block interface {
	// Table is the full name of the table that the rows are for.
	Table() string
	Rows() int
	// Reset forgets the rows and keeps the memory.
	Reset()
	// Input is the columns in wire form. A column whose rows are all the
	// table's default is left out, which spares the engine the work: most
	// observations use a third of the columns.
	Input() proto.Input
}

// named is a column with its name in the table.
type named struct {
	name string
	column
}

// block is what the blocks have in common. The first column is always sent,
// so that a block of nothing but defaults still has rows.
type block struct {
	table   string
	rows    int
	columns []named
	input   proto.Input
}

func (b *block) Table() string { return b.table }
func (b *block) Rows() int     { return b.rows }

func (b *block) Reset() {
	b.rows = 0
	for _, c := range b.columns {
		c.Reset()
	}
}

func (b *block) Input() proto.Input {
	b.input = b.input[:0]
	for i, c := range b.columns {
		if i == 0 || !c.blank() {
			b.input = append(b.input, proto.InputColumn{Name: c.name, Data: c.column})
		}
	}
	return b.input
}

// Columns is every column of the block, whatever its rows hold: what the
// tables must have.
func (b *block) Columns() proto.Input {
	all := make(proto.Input, len(b.columns))
	for i, c := range b.columns {
		all[i] = proto.InputColumn{Name: c.name, Data: c.column}
	}
	return all
}

// envelope is the columns of event.Event and event.Provenance, which every
// table of events starts with.
type envelope struct {
	source, typ                     words
	id, subject                     text
	time                            fixed
	tenant, region, cluster, cell   words
	traceID, sequence               text
	extensions                      pairs
	contentHash, receivedAt, offset fixed
	topic                           words
	partition                       fixed
}

func (c *envelope) columns() []named {
	c.time, c.receivedAt = moments(), moments()
	c.contentHash, c.offset, c.partition = unsigned(), signed(), signed32()
	return []named{
		{"source", &c.source}, {"id", &c.id}, {"type", &c.typ}, {"subject", &c.subject}, {"time", &c.time},
		{"tenant", &c.tenant}, {"region", &c.region}, {"cluster", &c.cluster}, {"cell", &c.cell},
		{"trace_id", &c.traceID}, {"sequence", &c.sequence}, {"extensions", &c.extensions},
		{"content_hash", &c.contentHash},
		{"received_at", &c.receivedAt}, {"topic", &c.topic}, {"partition", &c.partition}, {"offset", &c.offset},
	}
}

func (c *envelope) append(e *event.Event, p *event.Provenance) {
	c.source.Append(e.Source)
	c.id.Append(e.ID)
	c.typ.Append(e.Type)
	c.subject.Append(e.Subject)
	c.time.AppendTime(e.Time)
	c.tenant.Append(e.Tenant)
	c.region.Append(e.Region)
	c.cluster.Append(e.Cluster)
	c.cell.Append(e.Cell)
	c.traceID.Append(e.TraceID)
	c.sequence.Append(e.Sequence)
	c.extensions.Append(e.Extensions)
	c.contentHash.Append64(e.Hash)
	c.receivedAt.AppendTime(p.ReceivedAt)
	c.topic.Append(p.Topic)
	c.partition.Append32(uint32(p.Partition))
	c.offset.Append64(uint64(p.Offset))
}
