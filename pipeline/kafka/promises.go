package kafka

import (
	"context"
	"errors"
	"fmt"

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
}

// Promises reads those of a group.
type Promises struct {
	client *kgo.Client
	group  string
	topics []string
}

// OpenPromises connects lazily. Topics are all that the group consumes.
func OpenPromises(c Connection, group string, topics []string) (*Promises, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return nil, clientError(err)
	}
	return &Promises{client, group, topics}, nil
}

// Close gives up the connections.
func (p *Promises) Close() { p.client.Close() }

// Read returns the promise of every partition of the topics. A partition that
// is added later promises nothing here, and need not: its first owner asks for
// the context log's end before it writes.
func (p *Promises) Read(ctx context.Context) ([]Promise, error) {
	admin := kadm.NewClient(p.client)
	details, err := admin.ListTopics(ctx, p.topics...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topics of %s: %w", p.group, err)
	}
	commits, err := admin.FetchOffsets(ctx, p.group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nobody has joined yet
		return nil, fmt.Errorf("commits of %s: %w", p.group, err)
	}
	var all []Promise
	for _, topic := range details.Sorted() {
		for _, partition := range topic.Partitions.Sorted() {
			promise := Promise{Topic: topic.Topic, Partition: partition.Partition}
			if c, ok := commits.Lookup(topic.Topic, partition.Partition); ok && c.Err == nil && c.At >= 0 {
				// Metadata of another program, or an operator's, promises nothing.
				if in, err := parseIntent(c.Metadata); err == nil && in.Topic == topic.ID {
					promise.Revision = in.Revision
				}
			}
			all = append(all, promise)
		}
	}
	return all, nil
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
