// Package correct measures how fast rows are corrected while ingest runs at
// half of what it can: `whence up` with all its parts, and a publisher, on the
// same processors.
//
//	go test ./bench/correct -run '^$' -bench . -benchtime 1x -count 5
package correct

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

var rows = flag.Int("rows", 3_000_000, "that the late fact corrects")

// ledger is how many records are stored.
const ledger = "SELECT toInt64(sum(records)) FROM whence_state.batches FINAL"

// flood is how many observations are published at once, to see what ingest can.
const flood = 500_000

// BenchmarkCorrectionBesideIngest reports the rows a second that one late
// incident corrects, from its publication until the last is rewritten, and what
// was published and stored a second meanwhile.
func BenchmarkCorrectionBesideIngest(b *testing.B) {
	for b.Loop() {
		s := up(b)
		begun := time.Now()
		s.must(s.publish(b.Context(), rate.Inf, flood))
		s.await("the flood is stored", func() bool { return s.number(ledger) >= flood })
		can := flood / time.Since(begun).Seconds()

		s.fill()
		ctx, stop := context.WithCancel(b.Context())
		var publishing errgroup.Group
		publishing.Go(func() error { return s.publish(ctx, rate.Limit(can/2), 1<<40) })
		before := s.number(ledger)
		s.await("observations flow", func() bool {
			return float64(s.number(ledger)-before) > 3*can/2
		})
		published, stored, begun := s.acknowledged(), s.number(ledger), time.Now()
		s.say(event.TopicIncidents, `{"specversion":"1.0","type":"io.whence.incident.opened","source":"bench","id":"late","time":"2026-11-01T00:00:00Z",
			"data":{"incident_id":"late","service":"shop","environment":"production","severity":"high"}}`)
		s.await("all rows are corrected", func() bool {
			return s.number("SELECT toInt64(sum(corrected)) FROM whence_state.reconciled") >= int64(*rows)
		})
		took := time.Since(begun).Seconds()
		published, stored = s.acknowledged()-published, s.number(ledger)-stored
		stop()
		s.must(publishing.Wait())

		b.ReportMetric(float64(*rows)/took, "corrected/s")
		b.ReportMetric(can, "ingest-alone/s")
		b.ReportMetric(float64(published)/took, "published-meanwhile/s")
		b.ReportMetric(float64(stored)/took, "stored-meanwhile/s")
		b.ReportMetric(0, "ns/op")
		s.end()
	}
}

// system is `whence up` and a publisher.
type system struct {
	*testing.B
	process *pipelinetest.Process
	store   *clickhouse.Client
	kafka   *kgo.Client
	encoder codec.Encoder
	next    int

	mu   sync.Mutex
	done int64 // acknowledged
}

var addresses = regexp.MustCompile(`kafka\W+([\w.-]+:\d+).*clickhouse\W+(?:http://)?([\w.-]+:\d+)`)

func up(b *testing.B) *system {
	s := &system{B: b, process: pipelinetest.Run(b, nil, "up", "--data", b.TempDir(), "--listen-kafka", "127.0.0.1:0",
		"--listen-clickhouse", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0")}
	match := addresses.FindStringSubmatch(s.process.AwaitLine("ready", time.Minute))
	if match == nil {
		b.Fatal("whence up does not say where it is")
	}
	var err error
	s.store, err = clickhouse.Open(b.Context(), clickhouse.Config{URL: "http://" + match[2]})
	s.must(err)
	s.kafka, err = kgo.NewClient(kgo.SeedBrokers(match[1]), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(50_000))
	s.must(err)
	return s
}

func (s *system) end() {
	s.kafka.Close()
	s.must(s.store.Close())
	s.process.Kill()
}

// fill stores rows as if nothing had been known of their service, over three days.
func (s *system) fill() {
	_, err := s.store.DB().ExecContext(s.Context(), fmt.Sprintf(`
		INSERT INTO whence.observations (source, id, type, time, name, service, environment, user, session, version, ok, duration_ms,
			attributes, canonical_service, content_hash)
		SELECT 'web', toString(number), 'io.whence.behavior.recorded', toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(number * %d),
			['page.viewed', 'cart.added', 'order.placed'][number %% 3 + 1], 'shop', 'production', toString(cityHash64(number) %% 100000),
			toString(cityHash64(number) %% 200000), if(number %% 3 = 0, '1', ''), number %% 50 != 0, number %% 700,
			map('page', toString(number %% 100), 'country', 'at'), 'shop', number
		FROM numbers(%d)`, 3*86_400_000 / *rows, *rows))
	s.must(err)
}

// publish publishes observations of other services until ctx ends or there were
// so many.
func (s *system) publish(ctx context.Context, limit rate.Limit, most int) error {
	const burst = 100
	limiter := rate.NewLimiter(limit, 10*burst)
	for n := 0; n < most && limiter.WaitN(ctx, burst) == nil; n += burst {
		for range burst {
			s.next++
			err := s.send(event.TopicBehavior, fmt.Sprintf(`{"specversion":"1.0","type":"io.whence.behavior.recorded","source":"web","id":"live-%d","time":%q,
				"data":{"name":"page.viewed","service":"service-%d","environment":"production","user":"user-%d","session":"s-%d","ok":true,"duration_ms":%d,
				"attributes":{"country":"de","device":"phone"}}}`,
				s.next, time.Now().UTC().Format(time.RFC3339Nano), s.next%100, s.next%50_000, s.next%90_000, s.next%700), s.acknowledge)
			if err != nil {
				return err
			}
		}
	}
	return s.kafka.Flush(context.WithoutCancel(ctx))
}

func (s *system) send(topic, line string, promise func(*kgo.Record, error)) error {
	m, err := s.encoder.Line([]byte(line), codec.BinaryMsgpack)
	if err != nil {
		return err
	}
	record := &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	s.kafka.Produce(s.Context(), record, promise)
	return nil
}

// say publishes one event beside those that flow.
func (s *system) say(topic, line string) {
	beside := &system{B: s.B, kafka: s.kafka}
	failed := make(chan error, 1)
	s.must(beside.send(topic, line, func(_ *kgo.Record, err error) { failed <- err }))
	s.must(<-failed)
}

func (s *system) acknowledge(_ *kgo.Record, err error) {
	if err != nil {
		s.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
}

func (s *system) acknowledged() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *system) number(query string) (n int64) {
	s.Helper()
	s.must(s.store.DB().QueryRowContext(s.Context(), query).Scan(&n))
	return n
}

func (s *system) await(what string, ask func() bool) {
	s.Helper()
	pipelinetest.Eventually(s, 10*time.Minute, what, func() error {
		if !ask() {
			return fmt.Errorf("not yet")
		}
		return nil
	})
}

func (s *system) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}
