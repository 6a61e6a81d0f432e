package kafka

import (
	"fmt"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partition is what a session knows of a partition it owns.
type partition struct {
	topic   string
	topicID [16]byte
	id      int32

	next      int64 // the committed offset: the next batch begins here
	unsaid    bool  // it is not committed yet: it was found by other means
	set       bool  // an operator has committed it, and it is not heeded yet
	announced intent
	promised  uint64            // the revision of the last commit: no later row is of an earlier one
	level     bool              // the timeline has reached the floor
	held      []pipeline.Record // fetched and in no batch yet
	stopped   bool              // for good, as far as this session goes
	failing   error             // of the last fetch
}

// owes tells whether the group's commit says less than is known by now: nothing,
// or, where promises are made, an earlier revision. Where a partition should begin
// and can't is not said: the operator may choose anew. Nor is what an operator has
// set, until it was heeded: whoever reads a commit of ours asks no more.
func (p *partition) owes(revision uint64, promises bool) bool {
	if p.set || p.unsaid && p.stopped {
		return false
	}
	return p.next >= 0 && p.announced.End == 0 && (p.unsaid || promises && p.promised < revision)
}

// hold takes fetched records over.
func (p *partition) hold(records []*kgo.Record) {
	for _, r := range records {
		p.held = append(p.held, record(r))
	}
}

// cut takes the next batch off the held records: exactly the announced one
// where there is one, else as many as fit what is left of the round's bytes, the
// first in any case. It returns nil where an announced batch is not complete yet,
// and where nothing is left. What was announced may have been inserted before.
func (p *partition) cut(left *int, width int) (*pipeline.Batch, error) {
	if p.stopped || len(p.held) == 0 {
		return nil, nil
	}
	if first := p.held[0].Offset; first < p.next {
		return nil, pipeline.Fatalf("this is a bug", "%s: fetched from offset %d, committed up to %d", p, first, p.next)
	}
	n := len(p.held)
	if p.announced.End == 0 {
		if n = p.fitting(*left, width); n == 0 {
			return nil, nil
		}
	}
	to := p.held[n-1].Offset + 1
	if end := p.announced.End; end > 0 {
		if to < end {
			return nil, nil
		}
		for n > 0 && p.held[n-1].Offset >= end {
			n--
		}
		to = end
	}
	b := &pipeline.Batch{
		Topic: p.topic, TopicID: p.topicID, Partition: p.id,
		From: p.next, To: to, Records: p.held[:n:n], Doubted: p.announced.End > 0,
	}
	b.Hash = pipeline.HashRecords(b.Records)
	p.held = p.held[n:]
	for i := range b.Records {
		*left -= weight(b.Records[i].Value, width)
	}
	if p.announced.End > 0 {
		if err := p.announced.keep(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// widthOf is the width to weigh records with: none where nothing tells, and not so
// much that hardly any went into a batch.
func widthOf(tell func() int) int {
	if tell == nil {
		return 0
	}
	return min(tell(), roundBytes/leastRecords)
}

// weight is about how many bytes are worked on for a record: its own, and the width
// that each of its rows gets. How many rows it has nobody knows before it is decoded;
// of what has many, one takes half a kilobyte or so.
func weight(value []byte, width int) int {
	return len(value) + (1+len(value)/512)*width
}

// fitting is how many of the held records weigh so much together.
func (p *partition) fitting(left, width int) int {
	if left <= 0 {
		return 0
	}
	for i := range p.held {
		if left -= weight(p.held[i].Value, width); left < 0 {
			return max(i, 1)
		}
	}
	return len(p.held)
}

func (p *partition) String() string { return fmt.Sprintf("%s/%d", p.topic, p.id) }

func record(r *kgo.Record) pipeline.Record {
	out := pipeline.Record{Key: r.Key, Value: r.Value, Timestamp: event.MillisOf(r.Timestamp), Offset: r.Offset}
	if len(r.Headers) > 0 {
		out.Headers = make([]pipeline.Header, len(r.Headers))
		for i, h := range r.Headers {
			out.Headers[i] = pipeline.Header{Key: h.Key, Value: h.Value}
		}
	}
	return out
}
