package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
)

func broker(t *testing.T, opts ...kfake.Opt) Connection {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return Connection{Seeds: cluster.ListenAddrs()}
}

func topicsConfig() config.Topics {
	t := config.Default().Kafka.Topics
	t.Inputs = []config.Topic{{Name: "delivery", Partitions: 2}}
	return t
}

func statesOf(states []TopicState) map[string]string {
	m := map[string]string{}
	for _, s := range states {
		m[s.Name] = s.State
	}
	return m
}

func TestMissingTopicsAreCreatedOnceAndThenPresent(t *testing.T) {
	c := broker(t)
	specs := TopicSpecs(topicsConfig(), Forever)
	for _, step := range []struct {
		check bool
		want  string
	}{{true, TopicMissing}, {false, TopicCreated}, {false, TopicPresent}, {true, TopicPresent}} {
		states, err := Topics(t.Context(), c, specs, 0, step.check)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"whence.context": step.want, "whence.deadletter": step.want, "whence.links": step.want, "whence.delivery": step.want}
		if diff := cmp.Diff(want, statesOf(states)); diff != "" {
			t.Errorf("check %v:\n%s", step.check, diff)
		}
		for _, s := range states {
			if len(s.Differences) > 0 {
				t.Errorf("check %v: %s: %v", step.check, s.Name, s.Differences)
			}
		}
	}
}

func TestACheckNamesEachDifference(t *testing.T) {
	c := broker(t, kfake.SeedTopics(5, "whence.delivery"))
	states, err := Topics(t.Context(), c, TopicSpecs(topicsConfig(), time.Hour), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range states {
		for _, d := range s.Differences {
			said = append(said, s.Name+": "+d.String())
		}
	}
	want := []string{
		"whence.delivery: partitions is 5, want 2",
		"whence.delivery: max.message.bytes is 1048588, want 16842752",
		"whence.delivery: message.timestamp.type is CreateTime, want LogAppendTime",
		"whence.delivery: retention.ms is 604800000, want 3600000",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

func TestAContextLogOfSeveralPartitionsIsRefused(t *testing.T) {
	c := broker(t, kfake.SeedTopics(2, "whence.context"))
	_, err := EnsureTopics(t.Context(), c, TopicSpecs(topicsConfig(), Forever), 0)
	if err == nil || pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(err.Error(), "whence.context: partitions is 2, want 1") {
		t.Error(err)
	}
}

func TestThreeReplicasNeedTwoInSync(t *testing.T) {
	topics := topicsConfig()
	topics.Replication = 3
	for _, spec := range TopicSpecs(topics, time.Hour) {
		if spec.Settings["min.insync.replicas"] != "2" {
			t.Errorf("%s: %v", spec.Name, spec.Settings)
		}
	}
}

func TestAPublishedMessageArrivesWhole(t *testing.T) {
	c := broker(t, kfake.SeedTopics(1, "in"))
	p, err := OpenPublisher(c, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	done := make(chan error, 1)
	p.Send(t.Context(), Message{Topic: "in", Key: []byte("k"), Value: []byte("v"), Headers: []pipeline.Header{{Key: "h", Value: []byte("x")}}},
		func(err error) { done <- err })
	if err := errors.Join(p.Flush(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	consumer, err := kgo.NewClient(c.options(kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	records := consumer.PollFetches(t.Context()).Records()
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	got := record(records[0])
	got.Timestamp = 0
	want := pipeline.Record{Key: []byte("k"), Value: []byte("v"), Headers: []pipeline.Header{{Key: "h", Value: []byte("x")}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestATopicThatIsNotThereIsNamed(t *testing.T) {
	p, err := OpenPublisher(broker(t), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	done := make(chan error, 1)
	p.Send(t.Context(), Message{Topic: "absent", Value: []byte("v")}, func(err error) { done <- err })
	if err := <-done; err == nil || err.Error() != "topic absent does not exist" || pipeline.HintOf(err) == "" {
		t.Error(err)
	}
}

func TestABrokerThatIsAwayIsToldOfAndGivenUp(t *testing.T) {
	p, err := OpenPublisher(Connection{Seeds: []string{"127.0.0.1:1"}}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := 0
	err = p.Reach(ctx, func(error, time.Duration) {
		if told++; told == 2 {
			cancel()
		}
	})
	if told != 2 {
		t.Errorf("told %d times", told)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "kafka at 127.0.0.1:1: ") || pipeline.HintOf(err) == "" {
		t.Error(err)
	}
}

func TestAnothersTopicIsNeitherAlteredNorCreatedUnlessAsked(t *testing.T) {
	c := broker(t)
	topics := topicsConfig()
	topics.Inputs = append(topics.Inputs, config.Topic{Topic: "otlp_spans", Format: "otlp-traces"}, config.Topic{Topic: "shop.outbox", Partitions: 5})
	specs := TopicSpecs(topics, time.Hour)
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, step := range []struct{ spans, outbox string }{{TopicMissing, TopicCreated}, {TopicMissing, TopicPresent}, {TopicPresent, TopicPresent}} {
		if step.spans == TopicPresent {
			if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 7, 1, nil, "otlp_spans"); err != nil {
				t.Fatal(err)
			}
		}
		states, err := EnsureTopics(t.Context(), c, specs, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := statesOf(states); got["otlp_spans"] != step.spans || got["shop.outbox"] != step.outbox {
			t.Errorf("%v, want %+v", got, step)
		}
		for _, s := range states {
			if s.Name == "otlp_spans" && (len(s.Differences) > 0 || step.spans == TopicPresent && s.Partitions != 7) || s.Name == "shop.outbox" && s.Partitions != 5 {
				t.Errorf("%+v", s)
			}
		}
	}
}
