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

// Publishing says how records are gathered into batches.
type Publishing struct {
	// Timeout is after how long a record is given up, at least a second.
	Timeout time.Duration
	// Linger is how long a record waits for others to share its batch.
	Linger time.Duration
	// MaxRecords and MaxBytes bound what is queued: beyond, Send blocks.
	MaxRecords, MaxBytes int
	// Quick saves processor time: batches are packed with LZ4, not with Zstandard.
	Quick bool
}

// OpenPublisher makes a publisher of files of any size: few big batches, in
// bounded memory. It gives a record up after timeout, and connects with the
// first record, or with Reach.
func OpenPublisher(c Connection, timeout time.Duration) (*Publisher, error) {
	return OpenPublishing(c, Publishing{Timeout: timeout, Linger: 20 * time.Millisecond, MaxRecords: 20_000, MaxBytes: 64 << 20})
}

// OpenPublishing is OpenPublisher for others than files.
func OpenPublishing(c Connection, p Publishing) (*Publisher, error) {
	compression := []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.NoCompression()}
	if p.Quick {
		compression[0] = kgo.Lz4Compression()
	}
	client, err := kgo.NewClient(c.options(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(compression...),
		kgo.ProducerLinger(p.Linger),
		kgo.MaxBufferedRecords(p.MaxRecords),
		kgo.MaxBufferedBytes(p.MaxBytes),
		kgo.RecordDeliveryTimeout(max(p.Timeout, time.Second)), // franz-go's least
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
		err := p.Ping(ctx)
		if err == nil {
			return nil
		}
		next := pause.NextBackOff()
		if ctx.Err() == nil {
			notify(err, next)
		}
		if !sleep(ctx, next) {
			return unreached(p.seeds, err)
		}
	}
}

func unreached(seeds []string, err error) error {
	return &pipeline.Error{
		Err:  fmt.Errorf("kafka at %s: %w", strings.Join(seeds, ","), err),
		Hint: "name the brokers with --kafka HOST:PORT or $WHENCE_KAFKA, or start them: whence up",
	}
}

// Ping asks whether a broker answers, within five seconds.
func (p *Publisher) Ping(ctx context.Context) error {
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
