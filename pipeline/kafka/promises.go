package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Promise is what a partition's last commit says: no row of a record at or
// after the committed offset is, or will be, of a revision before this one. 0
// where nobody has committed anything yet.
type Promise struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Revision  uint64 `json:"revision"`
	// Other: this configuration does not name the topic, but somebody reads it, or
	// has announced a batch of it that is not complete.
	Other bool `json:"other_configuration,omitempty"`
}

// Promises reads those of a group.
type Promises struct {
	client  *kgo.Client
	group   string
	topics  []string
	context string
}

// OpenPromises connects lazily. Topics are all that this configuration consumes,
// and context is its context log.
func OpenPromises(c Connection, group string, topics []string, context string) (*Promises, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return nil, clientError(err)
	}
	return &Promises{client, group, topics, context}, nil
}

// Close gives up the connections.
func (p *Promises) Close() { p.client.Close() }

// Read returns the promise of every partition that somebody may write rows of:
// those of the topics, newer ones than a broker or this client has heard of among
// them, and those of other topics while workers of another configuration read
// them. Partitions that nobody has committed anything of may be missing: a first
// batch is announced before its owner asks how much is known, and is written with
// no less.
func (p *Promises) Read(ctx context.Context) ([]Promise, error) {
	details, err := kadm.NewClient(p.client).ListTopics(ctx, p.topics...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topics of %s: %w", p.group, err)
	}
	commits, readers, err := p.commits(ctx, details)
	if err != nil {
		return nil, err
	}
	var all []Promise
	for _, topic := range details.Sorted() {
		for _, partition := range topic.Partitions.Sorted() {
			promise := Promise{Topic: topic.Topic, Partition: partition.Partition}
			if c, ok := commits.Lookup(topic.Topic, partition.Partition); ok {
				// Metadata of another program, or an operator's, promises nothing.
				if in, err := parseIntent(c.Metadata); err == nil && in.Topic == topic.ID {
					promise.Revision = in.Revision
				}
			}
			all = append(all, promise)
		}
	}
	for _, c := range commits.Sorted() {
		topic, named := details[c.Topic]
		if _, listed := topic.Partitions[c.Partition]; listed {
			continue
		}
		in, _ := parseIntent(c.Metadata) // of a later version, or of another program: it promises nothing
		promise := Promise{Topic: c.Topic, Partition: c.Partition, Revision: in.Revision, Other: !named}
		switch {
		case named && in.Topic == topic.ID:
			all = append(all, promise)
		case named || c.Metadata == "" || in.Context != "" && in.Context != p.context:
			// Of a topic that was there before, an operator's, another installation's.
		case in.End > 0 || readers.of(c.Topic):
			all = append(all, promise)
		}
	}
	slices.SortFunc(all, func(a, b Promise) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all, nil
}

// commits are the group's, and who reads the topics among them that are not in
// details. They are read after the readers: who was none by then has announced
// what may still be on its way.
func (p *Promises) commits(ctx context.Context, details kadm.TopicDetails) (kadm.OffsetResponses, readers, error) {
	commits, err := p.fetch(ctx)
	others := false
	for topic := range commits {
		others = others || !details.Has(topic)
	}
	if err != nil || !others {
		return commits, readers{}, err
	}
	groups, err := kadm.NewClient(p.client).DescribeGroups(ctx, p.group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return nil, readers{}, fmt.Errorf("members of %s: %w", p.group, err)
	}
	commits, err = p.fetch(ctx)
	return commits, readers{groups[p.group]}, err
}

func (p *Promises) fetch(ctx context.Context) (kadm.OffsetResponses, error) {
	commits, err := kadm.NewClient(p.client).FetchOffsets(ctx, p.group)
	if errors.Is(err, kerr.GroupIDNotFound) { // nobody has joined yet
		return nil, nil
	}
	if err == nil {
		err = commits.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("commits of %s: %w", p.group, err)
	}
	return commits, nil
}

// readers are the members of a group.
type readers struct{ group kadm.DescribedGroup }

// of tells whether a member may read a topic. What they read is known while they
// are settled; a partition that moves from one to another is neither's then, so it
// is the topic that counts.
func (r readers) of(topic string) bool {
	switch r.group.State {
	case "Stable":
		return slices.Contains(r.group.JoinTopics(), topic)
	case "Empty", "Dead":
		return false
	}
	return true
}

// ContextEnd asks for the end of the context log again and again, over one
// connection.
type ContextEnd struct {
	client *kgo.Client
	topic  string
	epoch  uint64
}

// OpenContextEnd connects lazily.
func OpenContextEnd(c Connection, topic string, epoch uint64) (*ContextEnd, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return nil, clientError(err)
	}
	return &ContextEnd{client, topic, epoch}, nil
}

// Close gives up the connections.
func (e *ContextEnd) Close() { e.client.Close() }

// Revision is that of the last fact in the log, 0 while there is none.
func (e *ContextEnd) Revision(ctx context.Context) (uint64, error) {
	ends, err := kadm.NewClient(e.client).ListEndOffsets(ctx, e.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("end of the context log: %w", err)
	}
	end, _ := ends.Lookup(e.topic, 0)
	if end.Offset == 0 {
		return 0, nil
	}
	return Revision(e.epoch, end.Offset-1), nil
}
