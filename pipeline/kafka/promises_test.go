package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (f *fixture) promises() []uint64 {
	f.Helper()
	reader, err := OpenPromises(Connection{Seeds: f.seeds}, "g", []string{"in"}, "context")
	if err != nil {
		f.Fatal(err)
	}
	defer reader.Close()
	read, err := reader.Read(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	var all []uint64
	for _, p := range read {
		all = append(all, p.Revision)
	}
	return all
}

func TestPartitionsWithoutRecordsPromiseWhatTheTimelineKnowsToo(t *testing.T) {
	f, s := newFixture(t, 3), newStore()
	f.publish(1, 5) // the other two stay empty
	if got := f.promises(); !slices.Equal(got, []uint64{0, 0, 0}) {
		t.Fatalf("before anybody has committed: %v", got)
	}
	var revision atomic.Uint64
	revision.Store(7)
	c := f.consumer(s, &events{})
	c.Revision = revision.Load
	c.Floor = func(context.Context) (uint64, error) { return 7, nil }
	c.Await = func(context.Context, uint64) error { return nil }
	stop := f.run(c)
	promised := func(n uint64) func() bool {
		return func() bool { return !slices.ContainsFunc(f.promises(), func(p uint64) bool { return p < n }) }
	}
	eventually(t, "every partition promises revision 7", promised(7))
	revision.Store(9)
	eventually(t, "every partition promises revision 9", promised(9))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// What was promised did not move an offset: a successor goes on there.
	f.publish(3, 5)
	f.run(f.consumer(s, &events{}))
	eventually(t, "all stored", func() bool { return s.stored() == 20 })
	s.wantOnce(t, 20)
}

func TestWhileABatchIsAnnouncedItsPartitionPromisesNoMore(t *testing.T) {
	f, s := newFixture(t, 2), newStore()
	f.publish(1, 5)
	c := f.consumer(s, &events{})
	c.Floor = func(context.Context) (uint64, error) { return 7, nil }
	c.Await = func(context.Context, uint64) error { return crash() } // after the intent
	if err := c.Run(context.Background()); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	announced := f.intent()
	if announced.End != 5 || announced.Revision != 7 {
		t.Fatalf("the intent is %+v", announced)
	}
	// The next owner can't fetch, so the announced batch stays incomplete.
	next := f.consumer(s, &events{})
	next.Floor, next.Revision = c.Floor, func() uint64 { return 11 }
	f.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		return nil, errors.New("no fetch"), true
	})
	stop := f.run(next)
	eventually(t, "the other partition promises", func() bool { return f.promises()[1] == 11 })
	_ = stop()
	if in := f.intent(); in != announced {
		t.Errorf("the intent is now %+v, was %+v", in, announced)
	}
}

func TestAPartitionThatIsNewerThanWhatIsKnownOfItsTopicIsWaitedFor(t *testing.T) {
	f := newFixture(t, 1)
	reader, err := OpenPromises(Connection{Seeds: f.seeds}, "g", []string{"in"}, "context")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.Read(t.Context()); err != nil { // it keeps for seconds what it has heard of the topic
		t.Fatal(err)
	}
	admin := kadm.NewClient(f.client)
	if _, err := admin.CreatePartitions(t.Context(), 1, "in"); err != nil {
		t.Fatal(err)
	}
	topics, err := admin.ListTopics(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	var said kadm.Offsets
	said.Add(kadm.Offset{Topic: "in", Partition: 1, LeaderEpoch: -1, Metadata: intent{Topic: topics["in"].ID, Revision: 5}.metadata()})
	if err := admin.CommitAllOffsets(t.Context(), "g", said); err != nil {
		t.Fatal(err)
	}
	promises, err := reader.Read(t.Context())
	if want := []Promise{{Topic: "in"}, {Topic: "in", Partition: 1, Revision: 5}}; err != nil || !slices.Equal(promises, want) {
		t.Errorf("%v, %v, want %v", promises, err, want)
	}
}

func TestATopicThatWorkersOfAnotherConfigurationReadIsWaitedForWhileTheyDo(t *testing.T) {
	f := newFixture(t, 1)
	if _, err := kadm.NewClient(f.client).CreateTopic(t.Context(), 1, 1, nil, "more"); err != nil {
		t.Fatal(err)
	}
	other := f.consumer(newStore(), &events{})
	other.Topics, other.Context = []string{"in", "more"}, "context"
	other.Floor = func(context.Context) (uint64, error) { return 7, nil }
	other.Await = func(context.Context, uint64) error { return nil }
	stop := f.run(other)
	are := func(want ...uint64) func() bool { return func() bool { return slices.Equal(f.promises(), want) } }
	eventually(t, "both topics promise", are(7, 7))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what nobody reads is not waited for", are(7))
	other.Context, other.Revision = "another installation's", func() uint64 { return 9 }
	stop = f.run(other)
	eventually(t, "the revision of another context log", func() bool { return f.intentOf("more").Context == other.Context })
	eventually(t, "another installation in the same group is not waited for", are(9))
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	if err := f.client.ProduceSync(t.Context(), &kgo.Record{Topic: "more", Value: []byte("1")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	other = f.consumer(newStore(), &events{})
	other.Topics, other.Floor = []string{"more"}, func(context.Context) (uint64, error) { return 9, nil }
	other.Await = func(context.Context, uint64) error { return crash() } // after the intent
	if err := other.Run(t.Context()); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	eventually(t, "what may still be written is waited for", are(9, 9))
}

func (f *fixture) intent() intent { return f.intentOf("in") }

func (f *fixture) intentOf(topicName string) intent {
	f.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = "g"
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic, topic.Partitions = topicName, []int32{0}
	req.Topics = append(req.Topics, topic)
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = "g"
	groupTopic := kmsg.NewOffsetFetchRequestGroupTopic()
	groupTopic.Topic, groupTopic.Partitions = topicName, []int32{0}
	group.Topics = append(group.Topics, groupTopic)
	req.Groups = append(req.Groups, group)
	resp, err := req.RequestWith(context.Background(), f.client)
	if err != nil {
		f.Fatal(err)
	}
	var text string
	for _, g := range resp.Groups {
		text = *g.Topics[0].Partitions[0].Metadata
	}
	for _, tp := range resp.Topics {
		text = *tp.Partitions[0].Metadata
	}
	in, err := parseIntent(text)
	if err != nil {
		f.Fatal(err)
	}
	return in
}

func TestANewOwnerWritesNothingBeforeItKnowsWhatWasKnownWhenItCame(t *testing.T) {
	f, s := newFixture(t, 2), newStore()
	f.publish(2, 5)
	c := f.consumer(s, &events{})
	c.Floor = func(context.Context) (uint64, error) { return 42, nil }
	reached, waited := make(chan struct{}), make(chan uint64, 1)
	c.Await = func(ctx context.Context, revision uint64) error {
		select {
		case waited <- revision:
		default:
		}
		select {
		case <-reached:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.run(c)
	if got := <-waited; got != 42 {
		t.Errorf("it waits for revision %d", got)
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d records are stored already", n)
	}
	close(reached)
	eventually(t, "all stored", func() bool { return s.stored() == 10 })
}

func TestSomethingRunsWhileAPartitionIsOwnedAndEndsWithIt(t *testing.T) {
	f, s := newFixture(t, 1), newStore()
	var mu sync.Mutex
	var running []string
	member := func(name string) *Consumer {
		c := f.consumer(s, &events{})
		c.WhileOwning = func(ctx context.Context) {
			mu.Lock()
			running = append(running, name)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			running = slices.DeleteFunc(running, func(n string) bool { return n == name })
			mu.Unlock()
		}
		return c
	}
	are := func(want ...string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return slices.Equal(running, want) }
	}
	stop := f.run(member("first"))
	eventually(t, "the first runs", are("first"))
	f.run(member("second"))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second alone runs", are("second"))
}

func TestALeaseEndsWhenHeartbeatsStayAwayAndNeverComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(4 * time.Second)
		beat := func() { l.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.Heartbeat), kgo.BrokerE2E{}) }
		for range 5 {
			<-time.After(3 * time.Second)
			beat()
			if err := l.check(); err != nil {
				t.Fatal(err)
			}
		}
		// The group waits for others while a member joins.
		l.OnBrokerWrite(kgo.BrokerMetadata{}, int16(kmsg.JoinGroup), 0, 0, 0, nil)
		<-time.After(time.Minute)
		if err := l.check(); err != nil {
			t.Fatalf("while joining: %v", err)
		}
		l.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.JoinGroup), kgo.BrokerE2E{})
		// A request that gets no answer renews nothing.
		<-time.After(3 * time.Second)
		l.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.Heartbeat), kgo.BrokerE2E{ReadErr: context.DeadlineExceeded})
		<-time.After(2 * time.Second)
		beat() // what a process that was stopped does first: the answer says that it is unknown
		if err := l.check(); !errors.Is(err, errLeaseOver) {
			t.Errorf("after five seconds: %v", err)
		}
	})
}
