package kafka

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

func (f *fixture) producer() *Producer {
	f.Helper()
	if _, err := kadm.NewClient(f.client).CreateTopics(f.Context(), 1, 1, nil, "context", "dead"); err != nil {
		f.Fatal(err)
	}
	encode := func(fact *event.Fact) ([]byte, []pipeline.Header, error) {
		return []byte(fact.Data), []pipeline.Header{{Key: "k", Value: []byte("v")}}, nil
	}
	p, err := NewProducer(Connection{Seeds: f.seeds, Log: zap.NewNop()}, "context", "dead", 1, encode)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	return p
}

// read returns the first n records of a topic.
func (f *fixture) read(topic string, n int) []*kgo.Record {
	f.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.seeds...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		f.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(f.Context())
		if err := fetches.Err(); err != nil {
			f.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func TestAFactsRevisionIsItsEpochAndOffset(t *testing.T) {
	f := newFixture(t, 1)
	p := f.producer()
	for i, want := range []uint64{1<<40 | 1, 1<<40 | 3} {
		got, err := p.Append(t.Context(), []event.Fact{{Data: "a"}, {Data: "b"}})
		if err != nil || got != want {
			t.Errorf("append %d gives %x, %v, want %x", i, got, err, want)
		}
	}
	if key := string(f.read("context", 4)[0].Key); key != "|" {
		t.Errorf("the key is %q, want source|id", key)
	}
}

func TestADeadLetterTooLargeForItsTopicGoesWithoutItsBytesAndHoldsUpNothing(t *testing.T) {
	f := newFixture(t, 1)
	p := f.producer()
	dead := []pipeline.DeadLetter{
		{Provenance: event.Provenance{Topic: "in", Offset: 1}, Value: []byte("small"), Reason: pipeline.ReasonMalformed},
		{Provenance: event.Provenance{Topic: "in", Offset: 2}, Value: bytes.Repeat([]byte{0}, MaxRecordBytes+1<<20), Reason: pipeline.ReasonTooLarge},
	}
	if err := p.Bury(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]string{}
	for _, r := range f.read("dead", 2) {
		headers := map[string]string{"value": string(r.Value)}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		found[headers["whence-offset"]] = headers
	}
	if small := found["1"]; small["value"] != "small" || small["whence-reason"] != "malformed" || small["whence-topic"] != "in" {
		t.Errorf("the small one is %v", small)
	}
	if large := found["2"]; large["value"] != "" || large["whence-reason"] != "too_large" || large["whence-cut"] == "" {
		t.Errorf("the large one is %v", large)
	}
}

func TestWhatRulesRouteKeepsItsKeyAndHeadersAndSaysWhereItCameFrom(t *testing.T) {
	f := newFixture(t, 1)
	p := f.producer()
	routed := []pipeline.Routed{
		{Provenance: event.Provenance{Topic: "in", Partition: 3, Offset: 1, ReceivedAt: 7}, Rule: "own", To: "dead", Key: []byte("k"), Value: []byte("v"),
			Headers: []pipeline.Header{{Key: "x", Value: []byte("y")}}},
		{Provenance: event.Provenance{Topic: "in", Offset: 2}, Rule: "own", To: "dead", Value: bytes.Repeat([]byte{0}, MaxRecordBytes+1<<20)},
	}
	if refused, err := p.Route(t.Context(), routed); err != nil || !slices.Equal(refused, []int{1}) {
		t.Fatalf("refused %v, %v", refused, err)
	}
	found := map[string]string{}
	for _, r := range f.read("dead", 2) {
		text := fmt.Sprintf("%s=%s", r.Key, r.Value)
		for _, h := range r.Headers {
			text += fmt.Sprintf(" %s=%s", h.Key, h.Value)
		}
		found[text[:1]] = text
	}
	want := map[string]string{
		"k": "k=v x=y whence-rule=own whence-received=7 whence-topic=in whence-partition=3 whence-offset=1",
		"=": "= whence-rule=own whence-received=0 whence-topic=in whence-partition=0 whence-offset=2 whence-cut=its topic does not take the whole",
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

func TestRecordsThatAreTooLargeTogetherAreRoutedWhole(t *testing.T) {
	f := newFixture(t, 1)
	p := f.producer()
	if _, err := kadm.NewClient(f.client).CreateTopic(t.Context(), 1, 1, nil, "small"); err != nil { // 1 MiB, as brokers have it
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	routed := make([]pipeline.Routed, 3000)
	for i := range routed {
		size := 1000
		if i == 500 {
			size = 2 << 20
		}
		routed[i] = pipeline.Routed{Rule: "own", To: "small", Value: make([]byte, size), Provenance: event.Provenance{Offset: int64(i)}}
		_, _ = random.Read(routed[i].Value) // which nothing compresses
	}
	if refused, err := p.Route(t.Context(), routed); err != nil || !slices.Equal(refused, []int{500}) {
		t.Fatalf("%d refused, %v", len(refused), err)
	}
	there := map[string]bool{}
	for _, r := range f.read("small", len(routed)) {
		there[string(r.Value)] = true
	}
	if len(there) != len(routed) { // one of them without its bytes
		t.Errorf("%d of %d are there", len(there), len(routed))
	}
}

func TestTheTailFoldsFromWhereItIsToldAndSaysWhenItHasCaughtUp(t *testing.T) {
	f := newFixture(t, 1)
	p := f.producer()
	if _, err := p.Append(t.Context(), []event.Fact{{Data: "a"}, {Data: "b"}, {Data: "c"}}); err != nil {
		t.Fatal(err)
	}
	described, err := DescribeContext(t.Context(), Connection{Seeds: f.seeds}, "context")
	if err != nil || described.Start != 0 || described.End != 3 {
		t.Fatalf("described as %+v, %v", described, err)
	}
	folded := make(chan string, 10)
	caughtUp := make(chan struct{})
	tail := &Tail{
		Connection: Connection{Seeds: f.seeds, Log: zap.NewNop()}, Topic: "context", Epoch: 2,
		Decode: func(r pipeline.Record) (event.Fact, error) { return event.Fact{Data: string(r.Value)}, nil },
		Fold: func(_ context.Context, facts []event.Fact, revision uint64) error {
			for _, fact := range facts {
				folded <- fact.Data
				if fact.Revision>>40 != 2 || fact.Revision > revision {
					t.Errorf("fact %s at revision %x of %x", fact.Data, fact.Revision, revision)
				}
			}
			return nil
		},
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- tail.Run(ctx, 1, described.End, func() { close(caughtUp) }) }()
	select {
	case <-caughtUp:
	case <-time.After(20 * time.Second):
		t.Fatal("never caught up")
	}
	if a, b := <-folded, <-folded; a != "b" || b != "c" {
		t.Errorf("folded %s and %s, want b and c", a, b)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
