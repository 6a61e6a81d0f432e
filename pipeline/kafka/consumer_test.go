package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// store is a stage that keeps records as ClickHouse does: a block whose token
// was seen before is accepted and dropped.
type store struct {
	mu      sync.Mutex
	tokens  map[string]bool
	counts  map[string]int // topic/partition/offset -> times stored
	batches []string       // topic/partition [from, to) of each call, repeats included
	ends    map[string]int64

	// after is called when a batch is stored, outside the lock.
	after func(b *pipeline.Batch) error
}

func newStore() *store {
	return &store{tokens: map[string]bool{}, counts: map[string]int{}, ends: map[string]int64{}}
}

func (s *store) Name() string { return "store" }

func (s *store) Process(_ context.Context, b *pipeline.Batch) error {
	s.mu.Lock()
	token := b.Token("rows")
	s.batches = append(s.batches, fmt.Sprintf("%s/%d [%d, %d)", b.Topic, b.Partition, b.From, b.To))
	if !s.tokens[token] {
		s.tokens[token] = true
		for _, r := range b.Records {
			s.counts[fmt.Sprintf("%s/%d/%d", b.Topic, b.Partition, r.Offset)]++
		}
		key := fmt.Sprintf("%x/%d", b.TopicID, b.Partition)
		s.ends[key] = max(s.ends[key], b.To)
	}
	s.mu.Unlock()
	if s.after != nil {
		return s.after(b)
	}
	return nil
}

func (s *store) LedgerEnd(_ context.Context, topic [16]byte, partition int32) (int64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.ends[fmt.Sprintf("%x/%d", topic, partition)]
	return end, ok, nil
}

func (s *store) stored() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.counts)
}

// wantOnce fails unless n records are stored, each once.
func (s *store) wantOnce(t *testing.T, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.counts) != n {
		t.Errorf("%d records are stored, want %d", len(s.counts), n)
	}
	for record, times := range s.counts {
		if times != 1 {
			t.Errorf("record %s is stored %d times", record, times)
		}
	}
}

type events struct {
	consumed atomic.Int64

	mu      sync.Mutex
	stopped map[string]error
	ended   int
}

func (e *events) Consumed(_ string, records, _ int)   { e.consumed.Add(int64(records)) }
func (*events) Lag(string, int32, int64)              {}
func (*events) Lost(string, int32)                    {}
func (*events) Stored(*pipeline.Batch, time.Duration) {}
func (*events) Orphaned(*pipeline.Batch)              {}
func (e *events) SessionEnded(string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended++
}

func (e *events) PartitionStopped(topic string, id int32, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped == nil {
		e.stopped = map[string]error{}
	}
	e.stopped[fmt.Sprintf("%s/%d", topic, id)] = err
}

type fixture struct {
	*testing.T
	cluster *kfake.Cluster
	seeds   []string
	client  *kgo.Client
}

func newFixture(t *testing.T, partitions int32) *fixture {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "in"),
		kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "100", "group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &fixture{T: t, cluster: cluster, seeds: cluster.ListenAddrs(), client: client}
}

// publish sends n records to each of the partitions.
func (f *fixture) publish(partitions int32, n int) {
	f.Helper()
	var records []*kgo.Record
	for p := range partitions {
		for i := range n {
			records = append(records, &kgo.Record{Topic: "in", Partition: p, Value: fmt.Appendf(nil, "%d-%d", p, i)})
		}
	}
	if err := f.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		f.Fatal(err)
	}
}

// store publishes n records to the first partition, and runs a consumer until they
// are stored.
func (f *fixture) store(s *store, n int) {
	f.Helper()
	f.publish(1, n)
	stop := f.run(f.consumer(s, &events{}))
	eventually(f.T, "stored", func() bool { return s.stored() == n })
	if err := stop(); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) consumer(s *store, e *events) *Consumer {
	return &Consumer{
		Connection: Connection{Seeds: f.seeds, Log: zaptest.NewLogger(f.T, zaptest.Level(zap.ErrorLevel))},
		Role:       "test", Group: "g", Topics: []string{"in"},
		SessionTimeout: 2 * time.Second, RebalanceTimeout: 5 * time.Second,
		FetchMinBytes: 1, FetchMaxWait: 20 * time.Millisecond,
		FetchMaxBytes: 1 << 20, FetchMaxPartitionBytes: 1 << 20, MaxPollRecords: 50,
		OnLost: LostFail, Stages: []pipeline.Processor{s}, Ledger: s,
		Healthy:  func(context.Context) error { return nil },
		Revision: func() uint64 { return 7 }, Observer: e,
	}
}

// run starts c and returns a function that stops it and gives its error.
func (f *fixture) run(c *Consumer) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	f.Cleanup(func() { _ = stop() })
	return stop
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}

var errCrash = errors.New("crash")

// crash makes the consumer end where it stands, without the commit.
func crash() error { return pipeline.Fatalf("", "%w", errCrash) }

func TestEveryRecordIsStoredOnce(t *testing.T) {
	f, s := newFixture(t, 3), newStore()
	f.publish(3, 200)
	stop := f.run(f.consumer(s, &events{}))
	eventually(t, "all stored", func() bool { return s.stored() == 600 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.wantOnce(t, 600)
}

func TestABatchStoredBeforeACrashIsRebuiltExactly(t *testing.T) {
	f, s := newFixture(t, 1), newStore()
	f.publish(1, 30)
	var doubted []bool
	s.after = func(b *pipeline.Batch) error { doubted = append(doubted, b.Doubted); return crash() }
	first := f.consumer(s, &events{})
	if err := first.Run(t.Context()); !errors.Is(err, errCrash) {
		t.Fatalf("the first consumer ends with %v, want the crash", err)
	}
	f.publish(1, 500) // the second finds more than was announced
	s.after = func(b *pipeline.Batch) error { doubted = append(doubted, b.Doubted); return nil }
	stop := f.run(f.consumer(s, &events{}))
	eventually(t, "all stored", func() bool { return s.stored() == 530 })
	_ = stop()
	s.wantOnce(t, 530)
	if s.batches[0] != s.batches[1] {
		t.Errorf("the batch %s was rebuilt as %s", s.batches[0], s.batches[1])
	}
	if len(doubted) < 3 || doubted[0] || !doubted[1] || doubted[2] {
		t.Errorf("doubted: %v, want the second attempt of the first batch alone", doubted)
	}
}

func TestNothingIsLostOrRepeatedWhenStagesFailAndMembersComeAndGo(t *testing.T) {
	f, s := newFixture(t, 4), newStore()
	calls := 0
	s.after = func(*pipeline.Batch) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if calls++; calls%5 == 0 {
			return crash() // stored, and not committed
		}
		return nil
	}
	total := 0
	for round := range 6 {
		f.publish(4, 100)
		total += 400
		var stops []func() error
		for range 1 + round%3 {
			c := f.consumer(s, &events{})
			stops = append(stops, f.run(restarting(c)))
		}
		eventually(t, "the round is stored", func() bool { return s.stored() == total })
		for _, stop := range stops {
			_ = stop()
		}
	}
	s.wantOnce(t, total)
}

// restarting makes crashes of a consumer retryable: a new session follows at
// once, as a new process would.
func restarting(c *Consumer) *Consumer {
	stages := c.Stages
	c.Stages = make([]pipeline.Processor, len(stages))
	for i, stage := range stages {
		c.Stages[i] = crashing{stage}
	}
	c.RebalanceTimeout = 300 * time.Millisecond // so that a stage gives up soon
	return c
}

type crashing struct{ pipeline.Processor }

func (c crashing) Process(ctx context.Context, b *pipeline.Batch) error {
	err := c.Processor.Process(ctx, b)
	if errors.Is(err, errCrash) {
		<-ctx.Done() // as a process that is gone: it does nothing more
		return errCrash
	}
	return err
}

// A's request to join is held up on the wire until the group has dropped A and
// given its partitions to B. franz-go then joins again under another id without
// telling anybody, and A still holds what it fetched before.
func TestAMemberThatIsDroppedWhileItJoinsStoresNothingASecondTime(t *testing.T) {
	f, s := newFixture(t, 2), newStore()
	var armed atomic.Bool
	var first atomic.Value // A's member id
	heldUp, release := make(chan struct{}), make(chan struct{})
	f.cluster.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		member := req.(*kmsg.JoinGroupRequest).MemberID
		if !armed.Load() && member != "" {
			first.Store(member)
		}
		if armed.Load() && member == first.Load() && armed.CompareAndSwap(true, false) {
			close(heldUp)
			f.cluster.SleepControl(func() { <-release })
		}
		return nil, nil, false
	})
	consumer := func(e *events) *Consumer {
		c := f.consumer(s, e)
		c.SessionTimeout, c.RebalanceTimeout = 6*time.Second, 1500*time.Millisecond
		return c
	}
	ofA := &events{}
	stopA := f.run(consumer(ofA))
	f.publish(2, 10)
	eventually(t, "A stores", func() bool { return s.stored() == 20 })
	armed.Store(true)
	stopB := f.run(consumer(&events{}))
	<-heldUp
	<-time.After(time.Second) // of the 1.5 s that the group waits: a round begun earlier is given up by then
	f.publish(2, 10)          // A fetches these, and its intent waits for the join
	eventually(t, "A fetches", func() bool { return ofA.consumed.Load() > 20 })
	f.publish(2, 10) // and these go to B together with those
	eventually(t, "B stores all", func() bool { return s.stored() == 60 })
	close(release)
	eventually(t, "A gives up what it holds", func() bool { ofA.mu.Lock(); defer ofA.mu.Unlock(); return ofA.ended > 0 })
	f.publish(2, 10) // whoever gets them
	eventually(t, "the rest is stored", func() bool { return s.stored() == 80 })
	_, _ = stopA(), stopB()
	s.wantOnce(t, 80)
}

func TestARewrittenLogStopsItsPartitionAlone(t *testing.T) {
	f, s, e := newFixture(t, 2), newStore(), &events{}
	f.publish(2, 10)
	admin := kadm.NewClient(f.client)
	details, err := admin.ListTopics(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "in", Partition: 0, At: 0, LeaderEpoch: -1,
		Metadata: intent{Topic: details["in"].ID, End: 10, Records: 10, Hash: 1}.metadata()})
	if err := admin.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	stop := f.run(f.consumer(s, e))
	eventually(t, "the other partition is stored", func() bool { return s.stored() == 10 })
	eventually(t, "the partition stopped", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.stopped["in/0"] != nil })
	_ = stop()
	if got := e.stopped["in/0"].Error(); !strings.Contains(got, "announced 10") {
		t.Errorf("the error %q does not say what was announced", got)
	}
	for record := range maps.Keys(s.counts) {
		if strings.HasPrefix(record, "in/0") {
			t.Errorf("record %s of the stopped partition is stored", record)
		}
	}
}

func TestALostOffsetIsAnErrorUnlessAnOperatorChose(t *testing.T) {
	for _, choice := range []LostOffsets{LostFail, LostLedger, LostEarliest} {
		t.Run(string(choice), func(t *testing.T) {
			f, s, e := newFixture(t, 1), newStore(), &events{}
			f.store(s, 20)
			if _, err := kadm.NewClient(f.client).DeleteGroup(t.Context(), "g"); err != nil {
				t.Fatal(err)
			}
			f.publish(1, 5)
			before := len(s.batches)
			c := f.consumer(s, e)
			c.OnLost = choice
			stop := f.run(c)
			if choice == LostFail {
				eventually(t, "stopped", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.stopped["in/0"] != nil })
				if s.stored() != 20 {
					t.Errorf("%d records are stored, want the 20 from before", s.stored())
				}
				return
			}
			eventually(t, "the rest is stored", func() bool { return s.stored() == 25 })
			_ = stop()
			want := map[LostOffsets]string{LostLedger: "in/0 [20,", LostEarliest: "in/0 [0,"}[choice]
			if got := s.batches[before]; !strings.HasPrefix(got, want) {
				t.Errorf("it went on with %s, want %s", got, want)
			}
		})
	}
}

func TestALostOffsetIsCommittedAgainThoughNoRecordComes(t *testing.T) {
	f, s := newFixture(t, 1), newStore()
	f.store(s, 20)
	admin := kadm.NewClient(f.client)
	if _, err := admin.DeleteGroup(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	c := f.consumer(s, &events{})
	c.OnLost = LostLedger
	stop := f.run(c)
	eventually(t, "committed where the ledger ends", func() bool {
		commits, err := admin.FetchOffsets(t.Context(), "g")
		at, ok := commits.Lookup("in", 0)
		return err == nil && ok && at.At == 20
	})
	_ = stop()
	f.publish(1, 5)
	stop = f.run(f.consumer(s, &events{}))
	eventually(t, "what comes later is stored, with the operator's choice taken back", func() bool { return s.stored() == 25 })
	_ = stop()
	s.wantOnce(t, 25)
}

// reset sets the group's offset of the first partition, as kafka-consumer-groups does.
func (f *fixture) reset(to int64) {
	f.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "in", Partition: 0, At: to, LeaderEpoch: -1})
	if err := kadm.NewClient(f.client).CommitAllOffsets(f.Context(), "g", offsets); err != nil {
		f.Fatal(err)
	}
}

func TestAnOffsetSetBelowWhatIsStoredRepeatsNothingUnlessAnOperatorChose(t *testing.T) {
	for _, choice := range []LostOffsets{LostFail, LostLedger, LostEarliest} {
		t.Run(string(choice), func(t *testing.T) {
			f, s, e := newFixture(t, 1), newStore(), &events{}
			f.store(s, 20)
			f.reset(5)
			f.publish(1, 5)
			c := f.consumer(s, e)
			c.OnLost = choice
			stop := f.run(c)
			if choice == LostFail {
				eventually(t, "stopped", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.stopped["in/0"] != nil })
				if hint := pipeline.HintOf(e.stopped["in/0"]); !strings.HasPrefix(hint, "set it to 20 to go on") {
					t.Errorf("the hint is %q", hint)
				}
				_ = stop()
				f.reset(20)
				stop = f.run(f.consumer(s, e))
			}
			eventually(t, "the rest is stored", func() bool { return s.stored() == 25 })
			_ = stop()
			s.mu.Lock()
			defer s.mu.Unlock()
			for offset := range 25 {
				want := 1
				if choice == LostEarliest && offset >= 5 && offset < 20 {
					want = 2
				}
				if n := s.counts[fmt.Sprintf("in/0/%d", offset)]; n != want {
					t.Errorf("record %d is stored %d times, want %d", offset, n, want)
				}
			}
		})
	}
}

func TestAnOffsetSetAheadOfWhatIsStoredIsHeeded(t *testing.T) {
	f, s := newFixture(t, 1), newStore()
	f.store(s, 20)
	f.publish(1, 10)
	f.reset(25)
	stop := f.run(f.consumer(s, &events{}))
	eventually(t, "what is left is stored", func() bool { return s.stored() == 25 })
	_ = stop()
	s.wantOnce(t, 25)
}

func TestATopicMadeAnewIsReadFromItsStart(t *testing.T) {
	f, s := newFixture(t, 1), newStore()
	f.store(s, 20)
	admin := kadm.NewClient(f.client)
	if _, err := admin.DeleteTopic(t.Context(), "in"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "in"); err != nil {
		t.Fatal(err)
	}
	f.client.PurgeTopicsFromProducing("in")
	f.publish(1, 30)
	stop := f.run(f.consumer(s, &events{}))
	eventually(t, "the new topic is stored", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.ends) == 2 && slices.Contains(slices.Collect(maps.Values(s.ends)), 30)
	})
	_ = stop()
}

func TestAnIntentReadsBackAsWritten(t *testing.T) {
	in := intent{Topic: [16]byte{1, 2}, End: 1 << 60, Records: 3, Hash: 1<<64 - 1, Revision: 1<<40 | 5}
	out, err := parseIntent(in.metadata())
	if err != nil || out != in {
		t.Fatalf("got %+v, %v, want %+v", out, err, in)
	}
	if n := len(in.metadata()); n > 1000 {
		t.Errorf("metadata has %d bytes", n)
	}
	if _, err := parseIntent("someone-else"); err == nil {
		t.Error("foreign metadata is taken for an intent")
	}
}
