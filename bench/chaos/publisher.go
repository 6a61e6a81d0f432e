package chaos

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline/pipelinetest/world"
	"github.com/whencehq/whence/schemas/event"
)

// publisher says what a world makes, at a rate, through the links. What Kafka
// refuses is said again until it is acknowledged, so that nothing is in doubt:
// an event may be there twice then, and is recorded twice.
type publisher struct {
	t      testing.TB
	client *kgo.Client
	world  *world.World
	record *record
	rate   atomic.Int64 // events a second

	mu      sync.Mutex // held while events are handed to the client
	waiting []world.Said
	again   chan world.Said // refused

	turn   sync.Mutex // of pause and resume
	cancel context.CancelFunc
	ended  chan struct{} // nil: paused
}

// topicCampaign takes a part of the behaviour; it is the one that is deleted
// and made again.
const topicCampaign = "whence.campaign"

func newPublisher(t testing.TB, seeds []string, w *world.World, r *record, rate int) *publisher {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(seeds...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerBatchMaxBytes(2<<20), // the record that is too large for an event has to get here
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.MaxBufferedRecords(50_000),
		kgo.UnknownTopicRetries(-1),
		kgo.ProduceRequestTimeout(3*time.Second), kgo.RequestTimeoutOverhead(3*time.Second),
		kgo.MetadataMaxAge(5*time.Second), kgo.MetadataMinAge(250*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 250 * time.Millisecond }),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := &publisher{t: t, client: client, world: w, record: r, again: make(chan world.Said, 1<<20)}
	p.rate.Store(int64(rate))
	return p
}

// resume lets events flow.
func (p *publisher) resume() {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.ended != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.ended = cancel, make(chan struct{})
	go p.flow(ctx, p.ended)
}

// pause stops the flow, and returns when all that was said is acknowledged.
func (p *publisher) pause() {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.ended == nil {
		return
	}
	p.cancel()
	<-p.ended
	p.ended = nil
	p.flush()
}

// flush waits until nothing is on its way.
func (p *publisher) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for {
		if err := p.client.Flush(ctx); err != nil {
			p.t.Errorf("published events are not acknowledged within three minutes: %v", err)
			return
		}
		if len(p.again) == 0 {
			return
		}
		p.send(ctx, p.refused(len(p.again)))
	}
}

const beat = 20 * time.Millisecond

func (p *publisher) flow(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	owed := 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			owed += float64(p.rate.Load()) * beat.Seconds()
			n := int(owed)
			owed -= float64(n)
			p.send(ctx, append(p.refused(n), p.take(n)...))
		}
	}
}

func (p *publisher) refused(n int) (said []world.Said) {
	for range n {
		select {
		case s := <-p.again:
			said = append(said, s)
		default:
			return said
		}
	}
	return said
}

// take is the next n events of the world, fewer at its end.
func (p *publisher) take(n int) []world.Said {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) < n {
		next := p.world.Next()
		if next == nil {
			break
		}
		p.waiting = append(p.waiting, next...)
	}
	n = min(n, len(p.waiting))
	said := p.waiting[:n:n]
	p.waiting = p.waiting[n:]
	return said
}

// send hands events to the client, which holds back where brokers are away.
// The context ends that and no delivery.
func (p *publisher) send(ctx context.Context, said []world.Said) {
	for i, s := range said {
		if ctx.Err() != nil {
			for _, left := range said[i:] {
				p.again <- left
			}
			return
		}
		r := &kgo.Record{Topic: topicOf(s), Key: s.Key, Value: s.Message.Value}
		for _, h := range s.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			if err != nil {
				p.again <- s
				return
			}
			p.record.acknowledged(s, r.Topic, r.Partition, r.Offset)
		})
	}
}

func topicOf(s world.Said) string {
	if s.Topic == event.TopicBehavior && s.Number%8 == 7 {
		return topicCampaign
	}
	return s.Topic
}

// inject says something more, now.
func (p *publisher) inject(what func(*world.World) []world.Said) {
	p.mu.Lock()
	said := what(p.world)
	p.mu.Unlock()
	p.send(context.Background(), said)
}

// finish says all that is held back.
func (p *publisher) finish() {
	p.pause()
	p.mu.Lock()
	said := append(p.waiting, p.world.Rest()...)
	p.waiting = nil
	p.mu.Unlock()
	p.send(context.Background(), said)
	p.flush()
}
