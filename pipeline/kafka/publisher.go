package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline"
)

// Message is a record to be sent.
type Message struct {
	Topic      string
	Key, Value []byte
	Headers    []pipeline.Header
}

// Publisher sends records: acknowledged by all in-sync replicas, and
// idempotent, so that the client's own retries double nothing.
type Publisher struct {
	client *kgo.Client
	seeds  []string
}

// OpenPublisher makes a publisher that gives a record up after timeout. It
// connects with the first record, or with Reach.
func OpenPublisher(c Connection, timeout time.Duration) (*Publisher, error) {
	client, err := kgo.NewClient(c.options(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.MaxBufferedRecords(20_000),
		kgo.MaxBufferedBytes(64<<20),                         // with the line above: what a file of any size costs in memory
		kgo.RecordDeliveryTimeout(max(timeout, time.Second)), // franz-go's least
		kgo.UnknownTopicRetries(1),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return &Publisher{client: client, seeds: c.Seeds}, nil
}

// Reach returns once a broker answers. Until then it tries with growing
// pauses, telling notify of each failure, and gives up when ctx ends.
func (p *Publisher) Reach(ctx context.Context, notify func(err error, next time.Duration)) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 250*time.Millisecond, 5*time.Second
	for {
		err := p.ping(ctx)
		if err == nil {
			return nil
		}
		next := pause.NextBackOff()
		if ctx.Err() == nil {
			notify(err, next)
		}
		if !sleep(ctx, next) {
			return &pipeline.Error{
				Err:  fmt.Errorf("kafka at %s: %w", strings.Join(p.seeds, ","), err),
				Hint: "name the brokers with --kafka HOST:PORT, or start them: whence up",
			}
		}
	}
}

func (p *Publisher) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return p.client.Ping(ctx)
}

// Send queues a message; it blocks while the queue is full. done is called
// once, from another goroutine, when the message is acknowledged or given up.
func (p *Publisher) Send(ctx context.Context, m Message, done func(error)) {
	r := &kgo.Record{Topic: m.Topic, Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	p.client.Produce(ctx, r, func(_ *kgo.Record, err error) { done(sendError(m.Topic, err)) })
}

func sendError(topic string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return &pipeline.Error{Err: fmt.Errorf("topic %s does not exist", topic), Hint: "whence topics creates what is missing"}
	case errors.Is(err, kgo.ErrRecordTimeout):
		return fmt.Errorf("topic %s: no acknowledgement in time: %w", topic, err)
	}
	return fmt.Errorf("topic %s: %w", topic, err)
}

// Flush returns when every message sent so far is acknowledged or given up.
func (p *Publisher) Flush(ctx context.Context) error { return p.client.Flush(ctx) }

// Close gives up what was not flushed.
func (p *Publisher) Close() { p.client.Close() }
