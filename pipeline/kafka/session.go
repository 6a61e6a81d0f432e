package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/whencehq/whence/pipeline"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// session is one membership in the group. It ends with the first error that
// leaves a doubt, and all it knew ends with it.
type session struct {
	*Consumer
	log    *zap.Logger
	client *kgo.Client
	ids    map[string][16]byte // topic ids
	member string              // the id that the group knew us by when we got our first partitions
	lease  *lease
	spoken time.Time // when idle partitions last made their promises

	width    int       // of rows, when it was measured
	measured time.Time // and how long that took, and what was known
	took     time.Duration
	known    uint64

	mu         sync.Mutex // callbacks and rounds never overlap by design; the race detector should see it too
	partitions map[topicPartition]*partition
	owning     context.CancelFunc // of WhileOwning; nil: it does not run
	owned      sync.WaitGroup
}

type topicPartition struct {
	topic     string
	partition int32
}

func (c *Consumer) session(ctx context.Context, log *zap.Logger) error {
	s := &session{Consumer: c, log: log, partitions: map[topicPartition]*partition{}, lease: newLease(c.SessionTimeout)}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.disown()
	defer s.leave()
	// What runs while a partition is owned may need time to end: it begins to
	// when the last round does.
	defer context.AfterFunc(ctx, func() { s.mu.Lock(); defer s.mu.Unlock(); s.release() })()
	work, release := drain(ctx)
	defer release()
	work = pipeline.WithFence(work, s.lease.check)
	for {
		fetches := s.poll(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.take(fetches); err != nil {
			return err
		}
		if err := s.round(work); err != nil {
			return err
		}
		if err := s.promise(work); err != nil {
			return err
		}
		s.client.AllowRebalance()
	}
}

// poll returns what there is, or nothing after a while: partitions without
// records have something to say too. Rebalances are blocked when it returns.
// They are not when franz-go hands out an empty fetch before the time is over,
// as it does when a rebalance has come first: then it is asked again.
func (s *session) poll(ctx context.Context) kgo.Fetches {
	while, cancel := context.WithTimeout(ctx, promiseEvery)
	defer cancel()
	most := s.most()
	for {
		fetches := s.client.PollRecords(while, most)
		if while.Err() != nil && errors.Is(fetches.Err0(), while.Err()) {
			return nil
		}
		if len(fetches) > 0 {
			return fetches
		}
	}
}

// leave leaves the group, and doesn't wait for long: franz-go ends a join that
// is under way first, and that waits for the slowest member's round. A client
// that is left behind commits nothing any more.
func (s *session) leave() {
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.client.CloseAllowingRebalance()
	}()
	select {
	case <-left:
	case <-time.After(leaveTime):
		s.log.Warn("left the group without a word: it will notice after the session timeout")
	}
}

// open joins the group. The client begins at once, and its callbacks need the
// topics' ids and the client: hence an admin client first, and the lock.
func (s *session) open(ctx context.Context) (err error) {
	if s.ids, err = s.topicIDs(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	options := s.options(
		kgo.ConsumerGroup(s.Group),
		kgo.ConsumeTopics(s.Topics...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(s.SessionTimeout),
		kgo.HeartbeatInterval(s.SessionTimeout/10),
		kgo.RebalanceTimeout(s.RebalanceTimeout),
		kgo.DisableAutoCommit(),
		kgo.WithHooks(s.lease),
		// A commit is sent once. One without an answer ends the session:
		// sent again on a new connection, its first copy might still be
		// processed after a later commit and erase that one's intent.
		kgo.RequestRetries(0),
		// A small batch may hold gigabytes of zeros.
		kgo.MaxDecompressBatchBytes(maxDecompressed),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtCommitted()),
		kgo.OnOffsetsFetched(s.fetched),
		kgo.AdjustFetchOffsetsFn(s.seed),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.revoked),
		kgo.FetchMinBytes(s.FetchMinBytes),
		kgo.FetchMaxWait(s.FetchMaxWait),
		kgo.FetchMaxBytes(s.FetchMaxBytes),
		kgo.FetchMaxPartitionBytes(s.FetchMaxPartitionBytes),
	)
	if !pipeline.Mutated("no-lock") {
		options = append(options, kgo.BlockRebalanceOnPoll())
	}
	s.client, err = kgo.NewClient(options...)
	return clientError(err)
}

func clientError(err error) error {
	if err == nil {
		return nil
	}
	return pipeline.Fatalf("check the kafka section of the configuration", "kafka client: %w", err)
}

func (c *Consumer) topicIDs(ctx context.Context) (map[string][16]byte, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return nil, clientError(err)
	}
	defer client.Close()
	details, err := kadm.NewClient(client).ListTopics(ctx, c.Topics...)
	if err != nil {
		return nil, fmt.Errorf("topics: %w", err)
	}
	ids := make(map[string][16]byte, len(c.Topics))
	for _, topic := range c.Topics {
		d := details[topic]
		if d.Err != nil {
			return nil, &pipeline.Error{
				Err:  fmt.Errorf("topic %s: %w", topic, d.Err),
				Hint: "whence topics creates what is missing, but for topics that kafka.topics.inputs names as another's without partitions",
			}
		}
		ids[topic] = d.ID
	}
	return ids, nil
}

// fetched learns, before the first fetch of newly assigned partitions, where
// they stand and which batches former owners have announced.
func (s *session) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.member == "" {
		s.member, _ = s.client.GroupMetadata()
	}
	for _, group := range resp.Groups {
		for _, t := range group.Topics {
			topic := t.Topic
			if topic == "" {
				topic = s.topicOf(t.TopicID)
			}
			for _, tp := range t.Partitions {
				if tp.ErrorCode != 0 {
					continue // franz-go surfaces or retries it
				}
				p, err := s.standing(topic, tp.Partition, tp.Offset, tp.Metadata)
				if err != nil {
					return err
				}
				s.partitions[topicPartition{topic, tp.Partition}] = p
				s.client.ResumeFetchPartitions(map[string][]int32{topic: {tp.Partition}}) // it may have been stopped before
			}
		}
	}
	return nil
}

func (s *session) standing(topic string, id int32, offset int64, metadata *string) (*partition, error) {
	p := &partition{topic: topic, topicID: s.ids[topic], id: id, next: offset}
	if offset < 0 {
		return p, nil
	}
	said := ""
	if metadata != nil {
		said = *metadata
	}
	in, err := parseIntent(said)
	if err != nil {
		return nil, pipeline.Fatalf("another program commits under this group: give whence a group of its own",
			"%s: %w", p, err)
	}
	switch {
	case in == intent{}:
		p.set = true
	case in.Topic != p.topicID:
		p.next = -1 // a commit for a topic that is gone
	default:
		p.promised = in.Revision
		if in.End > 0 {
			p.announced = in
		}
	}
	return p, nil
}

func (s *session) topicOf(id [16]byte) string {
	for topic, other := range s.ids {
		if other == id {
			return topic
		}
	}
	return ""
}

// seed gives a first offset to the partitions that have none, and looks at those
// whose offset an operator has set.
func (s *session) seed(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var starts kadm.ListedOffsets
	for topic, partitions := range offsets {
		for id := range partitions {
			p := s.partitions[topicPartition{topic, id}]
			if p != nil && p.set {
				if err := s.heed(ctx, p); err != nil {
					return nil, err
				}
				if p.unsaid {
					offsets[topic][id] = kgo.NewOffset().At(p.next)
				}
			}
			if p == nil || p.next >= 0 {
				continue
			}
			if starts == nil {
				var err error
				if starts, err = kadm.NewClient(s.client).ListStartOffsets(ctx, s.Topics...); err != nil {
					return nil, fmt.Errorf("start of the log: %w", err)
				}
			}
			start, ok := starts.Lookup(topic, id)
			if !ok || start.Err != nil {
				return nil, fmt.Errorf("start of the log of %s: %w", p, errors.Join(start.Err, errUnlisted))
			}
			next, err := s.firstOffset(ctx, p, start.Offset)
			if err != nil {
				if pipeline.ClassOf(err) != pipeline.Fatal {
					return nil, err
				}
				s.stop(p, err)
				continue
			}
			p.next, p.unsaid = next, true
			offsets[topic][id] = kgo.NewOffset().At(next)
		}
	}
	return offsets, nil
}

var errUnlisted = errors.New("not listed")

// firstOffset decides where a partition without a commit begins.
func (s *session) firstOffset(ctx context.Context, p *partition, logStart int64) (int64, error) {
	end, found, err := s.Ledger.LedgerEnd(ctx, p.topicID, p.id)
	switch {
	case err != nil:
		return 0, fmt.Errorf("ledger of %s: %w", p, err)
	case !found, s.OnLost == LostEarliest:
		return logStart, nil
	case s.OnLost == LostLedger:
		return end, nil
	}
	return 0, pipeline.Fatalf(
		"is kafka.group right? another group has filled this ClickHouse, or the offset has expired or was deleted; offsets.on_lost: ledger goes on at that offset, earliest reads the log again",
		"%s: the group %s has no committed offset, yet the ledger says it is stored up to %d",
		p, s.Group, end)
}

// heed goes on where an operator has set a partition's offset, unless that is
// below what is stored: the records in between would be in the ledger twice, and
// twice in a view that counts each record once. That is taken for a mistake, or
// for a lost offset that was set by hand, unless on_lost says that the log may be
// read again.
func (s *session) heed(ctx context.Context, p *partition) error {
	end, found, err := s.Ledger.LedgerEnd(ctx, p.topicID, p.id)
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", p, err)
	}
	p.set = false
	switch {
	case !found, p.next >= end, s.OnLost == LostEarliest:
		return nil
	case s.OnLost == LostLedger:
		s.log.Warn("the offset was set below what is stored: going on where the ledger ends",
			zap.Stringer("partition", p), zap.Int64("set", p.next), zap.Int64("stored_up_to", end))
		p.next, p.unsaid = end, true
		return nil
	}
	p.unsaid = true // or it would be said again as if it were ours
	s.stop(p, pipeline.Fatalf(
		fmt.Sprintf("set it to %d to go on; whence replay reads stored records again and counts none twice; offsets.on_lost: ledger goes on at %[1]d, earliest reads again from where it was set", end),
		"%s: the group's offset was set to %d, yet the ledger says it is stored up to %d", p, p.next, end))
	return nil
}

func (s *session) assigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	if len(added) > 0 {
		s.log.Info("partitions assigned", zap.Any("partitions", added))
	}
	if s.Joined != nil {
		s.Joined()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.WhileOwning != nil && s.owning == nil && len(added) > 0 {
		owning, cancel := context.WithCancel(context.Background())
		s.owning = cancel
		s.owned.Go(func() { s.WhileOwning(owning) })
	}
}

// disown ends WhileOwning, and waits for it where nobody else would.
func (s *session) disown() {
	s.mu.Lock()
	s.release()
	s.mu.Unlock()
	s.owned.Wait()
}

func (s *session) release() {
	if s.owning != nil {
		s.owning()
		s.owning = nil
	}
}

// revoked forgets partitions: what was fetched of them and is in no batch yet
// is read again by their next owner.
func (s *session) revoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, ids := range gone {
		for _, id := range ids {
			delete(s.partitions, topicPartition{topic, id})
			s.Observer.Lost(topic, id)
		}
	}
	if len(s.partitions) == 0 {
		s.release()
	}
	if len(gone) > 0 {
		s.log.Info("partitions revoked", zap.Any("partitions", gone))
	}
}

// stop gives one partition up, alone.
func (s *session) stop(p *partition, err error) {
	p.stopped, p.held = true, nil
	s.Observer.PartitionStopped(p.topic, p.id, err)
	s.log.Error("partition stopped", zap.Stringer("partition", p), zap.Error(err), zap.String("hint", pipeline.HintOf(err)))
	s.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.id}})
}

// take files fetched records under their partitions.
func (s *session) take(fetches kgo.Fetches) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed error
	fetches.EachPartition(func(ft kgo.FetchTopicPartition) {
		p := s.partitions[topicPartition{ft.Topic, ft.Partition}]
		if err := ft.Err; err != nil {
			failed = errors.Join(failed, s.fetchError(p, ft.Topic, ft.Partition, err))
		}
		if p == nil || p.stopped || len(ft.Records) == 0 {
			return
		}
		size := 0
		for _, r := range ft.Records {
			size += len(r.Value)
		}
		p.hold(ft.Records)
		if p.failing != nil {
			p.failing = nil
			s.Observer.Lost(p.topic, p.id) // what was said of it
		}
		s.Observer.Consumed(p.topic, len(ft.Records), size)
		s.Observer.Lag(p.topic, p.id, ft.HighWatermark-p.held[len(p.held)-1].Offset-1)
	})
	return failed
}

// fetchError stops the partition whose records are gone. Other errors that are
// of one partition alone (a right that was taken away, a batch that can't be
// read) are said and left to franz-go, which goes on asking; the rest end the
// session.
func (s *session) fetchError(p *partition, topic string, id int32, err error) error {
	switch {
	case p != nil && p.stopped:
		return nil
	case p != nil && errors.Is(err, kerr.OffsetOutOfRange):
		s.stop(p, pipeline.Fatalf(
			"the topic's retention is shorter than the outage was, or the log was truncated: set the group's offset by hand to go on",
			"%s: offset %d is not in the log any more: %w", p, p.next, err))
		return nil
	case topic == "" || p == nil || errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("fetch %s/%d: %w", topic, id, err)
	case p.failing == nil:
		s.log.Error("a partition can't be read", zap.Stringer("partition", p), zap.Error(err))
		s.Observer.PartitionStopped(topic, id, err)
	}
	p.failing = err
	return nil
}

// round works off what is held: batch by batch where an announced one comes
// before newer records. Rebalances are blocked meanwhile, so it is given up
// when half of what the group grants is over: a member that is dropped costs
// everybody more than a batch that is begun again.
func (s *session) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.RebalanceTimeout/2, errRoundTooLong)
	defer cancel()
	for {
		batches := s.cut()
		if len(batches) == 0 {
			return nil
		}
		if err := s.store(ctx, batches); err != nil {
			return err
		}
	}
}

var errRoundTooLong = errors.New("half of the rebalance timeout is over")

func (s *session) cut() []*pipeline.Batch {
	s.measure()
	s.mu.Lock()
	defer s.mu.Unlock()
	var batches []*pipeline.Batch
	left := roundBytes
	for _, p := range s.partitions {
		b, err := p.cut(&left, s.width)
		if err != nil {
			s.stop(p, err)
		} else if b != nil {
			batches = append(batches, b)
		}
	}
	return batches
}

// most is how many records a round begins with: as many as make a few batches. A
// round of hundreds would hold rebalances up, and corrections, which wait for the
// promises after it.
func (s *session) most() int {
	s.measure()
	return min(s.MaxPollRecords, batchesAtOnce*roundBytes/(512+s.width))
}

// measure keeps up with how wide rows are: with each fact, but for a fiftieth of the
// time at most, and as facts begin and cease to hold.
func (s *session) measure() {
	known, ago := s.Revision(), time.Since(s.measured)
	if ago < widthEvery && (known == s.known || ago < 50*s.took) {
		return
	}
	begun := time.Now()
	s.width = widthOf(s.Width)
	s.measured, s.took, s.known = time.Now(), time.Since(begun), known
}

// store takes batches of different partitions through the protocol.
func (s *session) store(ctx context.Context, batches []*pipeline.Batch) error {
	begun := time.Now()
	s.failpoint("before-intent")
	if err := s.announce(ctx, batches); err != nil {
		return err
	}
	s.failpoint("after-intent")
	if err := s.reachFloor(ctx, batches); err != nil {
		return err
	}
	// Stage by stage over all batches, so that facts which were fetched
	// together with observations of other partitions are known to these.
	for _, stage := range s.Stages {
		if err := s.stage(ctx, stage, batches); err != nil {
			return err
		}
		s.failpoint("after-" + stage.Name())
	}
	s.failpoint("before-commit")
	if err := s.complete(ctx, batches); err != nil {
		for _, b := range batches {
			s.Observer.Orphaned(b)
		}
		return err
	}
	s.failpoint("after-commit")
	for _, b := range batches {
		s.Observer.Stored(b, time.Since(begun))
	}
	return nil
}

func (s *session) failpoint(step string) { pipeline.Failpoint(s.Role + "/" + step) }

func (s *session) stage(ctx context.Context, stage pipeline.Processor, batches []*pipeline.Batch) error {
	var all errgroup.Group
	all.SetLimit(4)
	for _, b := range batches {
		all.Go(func() error { return s.process(ctx, stage, b) })
	}
	return all.Wait()
}

func (s *session) process(ctx context.Context, stage pipeline.Processor, b *pipeline.Batch) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 2*time.Second
	for {
		if err := pipeline.Fenced(ctx); err != nil {
			return err
		}
		err := stage.Process(ctx, b)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %s/%d [%d, %d): %w", stage.Name(), b.Topic, b.Partition, b.From, b.To, err)
		if pipeline.ClassOf(err) == pipeline.Fatal || !sleep(ctx, pause.NextBackOff()) {
			return err
		}
		s.log.Warn("trying again", zap.Error(err))
	}
}

// announce commits the intents of the batches that don't have one yet.
func (s *session) announce(ctx context.Context, batches []*pipeline.Batch) error {
	var commits []commit
	revision := s.Revision()
	s.mu.Lock()
	for _, b := range batches {
		p := s.partitions[topicPartition{b.Topic, b.Partition}]
		if p == nil {
			s.mu.Unlock()
			return errNotOurs
		}
		if p.announced.End == 0 {
			p.announced = announce(b, max(revision, p.promised))
			commits = append(commits, commit{b.Topic, b.Partition, b.From, p.announced})
		}
	}
	s.mu.Unlock()
	if pipeline.Mutated("no-intent") {
		return nil
	}
	return s.commit(ctx, commits)
}

var errNotOurs = errors.New("a partition was taken away in the middle of a round")

// reachFloor waits until the timeline knows what was known when the batches'
// partitions were assigned, and when their first batch was announced: until then
// nobody need have heard of them.
func (s *session) reachFloor(ctx context.Context, batches []*pipeline.Batch) error {
	if s.Floor == nil || pipeline.Mutated("no-revision-guard") {
		return nil
	}
	s.mu.Lock()
	var low []*partition
	for _, b := range batches {
		if p := s.partitions[topicPartition{b.Topic, b.Partition}]; p != nil && !p.level {
			low = append(low, p)
		}
	}
	s.mu.Unlock()
	if len(low) == 0 {
		return nil
	}
	floor, err := s.Floor(ctx)
	if err != nil {
		return fmt.Errorf("how much is known: %w", err)
	}
	if err := s.Await(ctx, floor); err != nil {
		return fmt.Errorf("wait for the timeline to reach revision %d: %w", floor, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range low {
		p.level = true
	}
	return nil
}

// promise commits, for partitions whose commits say less than is known by now,
// where they stand once more: none of their later rows will be of an earlier
// revision. Rebalances are blocked meanwhile, as they are in a round.
//
// Those whose offset was lost, or never there, say where they begin: that is
// decided once, though no record may come for long.
//
// A batch that is announced is left out. A former owner's insert of it may be
// on its way still, with rows of its revision, and take this one's place under
// their token: only when the batch is complete are its rows there to be seen.
func (s *session) promise(ctx context.Context) error {
	if time.Since(s.spoken) < promiseEvery {
		return nil
	}
	s.spoken = time.Now()
	revision := s.Revision()
	var commits []commit
	s.mu.Lock()
	for _, p := range s.partitions {
		if p.owes(revision, s.Floor != nil) {
			commits = append(commits, commit{p.topic, p.id, p.next, intent{Topic: p.topicID, Revision: revision}})
		}
	}
	s.mu.Unlock()
	if err := s.commit(ctx, commits); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range commits {
		if p := s.partitions[topicPartition{c.topic, c.partition}]; p != nil {
			p.promised, p.unsaid = max(p.promised, revision), false
		}
	}
	return nil
}

// complete commits the batches' ends.
func (s *session) complete(ctx context.Context, batches []*pipeline.Batch) error {
	commits := make([]commit, len(batches))
	for i, b := range batches {
		commits[i] = commit{b.Topic, b.Partition, b.To, intent{Topic: b.TopicID, Revision: b.Revision}}
	}
	if err := s.commit(ctx, commits); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range batches {
		if p := s.partitions[topicPartition{b.Topic, b.Partition}]; p != nil {
			p.next, p.unsaid, p.announced, p.promised = b.To, false, intent{}, b.Revision
		}
	}
	return nil
}

type commit struct {
	topic     string
	partition int32
	offset    int64
	intent    intent
}

// commit sends offsets with their metadata and waits for the answer. Any error
// is in doubt, and the caller ends the session.
func (s *session) commit(ctx context.Context, commits []commit) error {
	if len(commits) == 0 {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	metadata := map[topicPartition]string{}
	for _, c := range commits {
		if offsets[c.topic] == nil {
			offsets[c.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[c.topic][c.partition] = kgo.EpochOffset{Epoch: -1, Offset: c.offset}
		c.intent.Context = s.Context
		metadata[topicPartition{c.topic, c.partition}] = c.intent.metadata()
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		// A member that was dropped while it joined is let in again under
		// another id, and franz-go goes on without a word. Partitions may have
		// had another owner in between.
		if req.MemberID != s.member && !pipeline.Mutated("no-lock") {
			return errAnotherMember
		}
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				text := metadata[topicPartition{req.Topics[i].Topic, req.Topics[i].Partitions[j].Partition}]
				req.Topics[i].Partitions[j].Metadata = &text
			}
		}
		return nil
	})
	failed := errUnanswered
	s.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = errors.Join(err, refusals(resp, len(metadata)))
	})
	if failed != nil {
		return fmt.Errorf("commit of %s: %w", slices.Sorted(maps.Keys(offsets)), failed)
	}
	return nil
}

var errAnotherMember = errors.New("the group has dropped this member and let it in again: what it holds may be another's")

var errUnanswered = errors.New("no answer")

// refusals returns what an answer to a commit of n partitions refuses.
func refusals(resp *kmsg.OffsetCommitResponse, n int) error {
	if resp == nil {
		return errUnanswered
	}
	var failed error
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			n--
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				failed = errors.Join(failed, fmt.Errorf("partition %d: %w", p.Partition, err))
			}
		}
	}
	if failed == nil && n > 0 {
		return fmt.Errorf("%d partitions are missing in the answer", n)
	}
	return failed
}
