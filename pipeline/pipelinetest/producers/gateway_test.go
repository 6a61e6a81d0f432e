package producers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/embedded"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/schemas/event"
)

// site is a gateway in a process of its own, before an embedded Kafka; or all
// of `whence up`, with tables.
type site struct {
	t          *testing.T
	url        string
	kafka      string
	clickhouse string // URL; empty: there is none
}

// startSite runs until the test ends.
func startSite(t *testing.T, flags ...string) *site {
	t.Helper()
	broker, err := embedded.StartKafka(t.TempDir(), "127.0.0.1:0", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	topics := config.Default().Kafka.Topics
	if _, err := kafka.EnsureTopics(t.Context(), kafka.Connection{Seeds: []string{broker.Addr()}}, kafka.TopicSpecs(topics, kafka.Forever), 1); err != nil {
		t.Fatal(err)
	}
	p := pipelinetest.Run(t, nil, append([]string{"ingest", "--kafka", broker.Addr(), "--listen", "127.0.0.1:0", "--listen-metrics", ""}, flags...)...)
	line := p.AwaitLine("ready", time.Minute)
	return &site{t: t, url: line[strings.Index(line, "http://"):], kafka: broker.Addr()}
}

var addresses = regexp.MustCompile(`kafka ([\w.:-]+), clickhouse (http://[\w.:-]+), ingest (http://[\w.:-]+)`)

// startUp runs `whence up` until the test ends, so that what producers send can
// be looked for in the tables.
func startUp(t *testing.T, flags ...string) *site {
	t.Helper()
	if _, err := engine.FindLibrary(); err != nil {
		pipelinetest.Without(t, "the engine library: %v", err)
	}
	p := pipelinetest.Run(t, nil, append([]string{"up", "--data", t.TempDir(), "--listen-kafka", "127.0.0.1:0", "--listen-clickhouse", "127.0.0.1:0",
		"--listen-metrics", "", "--listen-ingest", "127.0.0.1:0"}, flags...)...)
	line := p.AwaitLine("ready", time.Minute)
	at := addresses.FindStringSubmatch(line)
	if at == nil {
		t.Fatalf("the line that says ready names no addresses: %s", line)
	}
	return &site{t: t, kafka: at[1], clickhouse: at[2], url: at[3]}
}

// says waits until a statement's answer is the one that is wanted, and nothing
// is in the dead letters.
func (s *site) says(want, statement string) {
	s.t.Helper()
	ask := func(statement string) (string, error) {
		answer, err := oracle.HTTP(s.clickhouse)(s.t.Context(), statement)
		return strings.TrimSuffix(string(answer), "\n"), err
	}
	pipelinetest.Eventually(s.t, time.Minute, statement, func() error {
		have, err := ask(statement)
		if err == nil && have != want {
			err = fmt.Errorf("it says\n%s\nand not\n%s", have, want)
		}
		return err
	})
	if dead, err := ask("SELECT reason, detail FROM whence.dead_letters FINAL"); err != nil || dead != "" {
		s.t.Errorf("dead letters: %s %v", dead, err)
	}
}

// record is what arrived in Kafka.
type record struct {
	topic   string
	value   []byte
	headers map[string]string
}

// await returns the first n records of a topic.
func (s *site) await(topic string, n int) []record {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var all []record
	for len(all) < n {
		fetched := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%d of %d records of %s came", len(all), n, topic)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			all = append(all, record{r.Topic, r.Value, headers})
		})
	}
	return all
}

// decoded is what a worker makes of records, before it knows any others.
func decoded(t *testing.T, records ...record) *pipeline.Batch {
	t.Helper()
	b := &pipeline.Batch{Topic: records[0].topic}
	for i, r := range records {
		out := pipeline.Record{Value: r.value, Offset: int64(i), Timestamp: event.MillisOf(time.Now())}
		for _, name := range slices.Sorted(maps.Keys(r.headers)) {
			out.Headers = append(out.Headers, pipeline.Header{Key: name, Value: []byte(r.headers[name])})
		}
		b.Records = append(b.Records, out)
	}
	for _, stage := range processors.Reading(processors.Dependencies{}) {
		if err := stage.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range b.Dead {
		t.Errorf("a dead letter: %s: %s", d.Reason, d.Detail)
	}
	return b
}

// types counts facts and observations by the type.
func types(b *pipeline.Batch) map[string]int {
	counts := map[string]int{}
	for i := range b.Facts {
		counts[strings.TrimPrefix(b.Facts[i].Type, event.Prefix)]++
	}
	for i := range b.Observations {
		counts[strings.TrimPrefix(b.Observations[i].Type, event.Prefix)]++
	}
	return counts
}

func parsed[T any](t *testing.T, text []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %.500s", err, text)
	}
	return v
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
