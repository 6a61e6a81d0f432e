package producers

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/embedded"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// site is a gateway in a process of its own, before an embedded Kafka.
type site struct {
	t     *testing.T
	url   string
	kafka string
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
