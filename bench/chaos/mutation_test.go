package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/pipeline/pipelinetest/world"

	"github.com/twmb/franz-go/pkg/kadm"
)

// stories each lead a worker to the one moment at which a safeguard is needed.
var stories = []struct {
	safeguard string
	tell      func(*round)
}{
	{"no-intent", tellOfAnotherCut},
	{"no-token", tellOfARepetition},
	{"no-lock", tellOfALateCommit},
	{"no-revision-guard", tellOfAnOldTimeline},
	{"no-reseal", tellOfASealedMinute},
	{"no-announcement", tellOfALateRewrite},
}

// What the harness can't see missing it does not check. Each story is told
// twice: by whole workers nothing differs, without the safeguard something does.
// It is told of the same world for every commit: it has to lead to its moment.
func TestTheHarnessMissesEachSafeguardThatIsTakenOut(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of it")
	}
	match := regexp.MustCompile(*safeguards)
	for _, story := range stories {
		if !match.MatchString(story.safeguard) {
			t.Logf("left out: %s (make safeguards has all that this harness notices)", story.safeguard)
			continue
		}
		t.Run(story.safeguard, func(t *testing.T) {
			s := newSystem(t, options{
				shape:   world.Shape{Seed: storySeed(), Observations: 1 << 40, PerSecond: 100},
				brokers: 1, rate: 2000, disk: 2000, settle: 5 * time.Minute, rebalance: time.Minute, seal: time.Second,
			})
			if d := s.told(story.tell); len(d) > 0 {
				t.Fatalf("with all safeguards:\n%s", d)
			}
			s.fleet.environment = append(s.fleet.environment, pipeline.MutationsVariable+"="+story.safeguard)
			d := s.told(story.tell)
			if len(d) == 0 {
				t.Error("nothing differs without it")
			}
			t.Logf("noticed by %d differences, the first: %.300s", len(d), d)
		})
	}
}

func storySeed() uint64 { return cmp.Or(*seed, 1) }

// told tells a story, with nobody at work before and after it, and compares.
func (s *system) told(tell func(*round)) differences {
	s.Helper()
	r := &round{system: s, Rand: rand.New(rand.NewPCG(storySeed(), 1)), before: s.journal.all()}
	tell(r)
	if len(s.fleet.all()) == 0 {
		s.fleet.start("")
	}
	s.quieten()
	d := s.everything()
	for _, err := range s.fleet.stopAll() {
		s.Error(err)
	}
	return d
}

// lone starts a worker that nobody replaces, armed with failpoints.
func (r *round) lone(failpoints string) *worker {
	w := r.fleet.start(failpoints)
	w.dismiss()
	return w
}

func (r *round) awaitEnd(w *worker) {
	r.Helper()
	select {
	case <-w.Ended():
	case <-time.After(r.settle):
		r.Fatal("the worker never came to its failpoint")
	}
	r.fleet.forget(w)
}

// awaitWord waits until a worker or a command has said something since the story
// began.
func (r *round) awaitWord(word string) {
	r.Helper()
	r.eventually(word, func() error {
		if r.heard(word) == 0 {
			return errors.New("none yet")
		}
		return nil
	})
}

// publishes waits until so many more observations are acknowledged.
func (r *round) publishes(n int) {
	r.Helper()
	acknowledged := func() int {
		r.record.mu.Lock()
		defer r.record.mu.Unlock()
		return r.record.observations
	}
	from := acknowledged()
	r.eventually("more is published", func() error {
		if now := acknowledged(); now < from+n {
			return fmt.Errorf("%d of %d", now-from, n)
		}
		return nil
	})
}

// A worker dies between insert and commit, and when the next one comes there
// are more records to make a batch of.
func tellOfAnotherCut(r *round) {
	r.publisher.resume()
	r.awaitEnd(r.lone("events/before-commit=kill@3"))
	r.publishes(4000)
}

// A worker dies between insert and commit, and the next one inserts the same
// again.
func tellOfARepetition(r *round) {
	r.publisher.resume()
	r.awaitEnd(r.lone("events/before-commit=kill@3"))
}

// A worker holds a batch of all partitions between insert and commit. Another
// one joins and takes over, by whole workers not before that commit, and dies
// between insert and commit of a later batch, after it.
func tellOfALateCommit(r *round) {
	r.publisher.resume()
	r.publishes(4000)
	former := r.lone("events/before-commit=hold")
	r.awaitWord("commits held")
	other := r.lone("events/before-commit=hold@6")
	r.Log(r.sees("another one goes on", heldFor, func() bool { return r.heard("commits held") > 1 }))
	before := r.committed()
	former.release()
	r.Log(r.sees("an offset goes back", heldFor, func() bool { return back(before, r.committed()) }))
	r.fleet.kill(other)
	r.fleet.kill(former)
	r.publishes(4000)
}

// committed are the group's offsets.
func (r *round) committed() kadm.Offsets {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offsets, err := r.cluster.Admin.FetchOffsets(ctx, group)
	if err != nil {
		r.Fatal(err)
	}
	return offsets.Offsets()
}

// back tells whether an offset is less than it was: no worker ever commits less
// than what is committed.
func back(was, is kadm.Offsets) bool {
	for _, o := range is.Sorted() {
		if before, ok := was.Lookup(o.Topic, o.Partition); ok && o.At < before.At {
			return true
		}
	}
	return false
}

// A worker holds a batch that is enriched and not stored. A fact comes that
// concerns the batch, and whoever corrects rows has the time to close it: by
// whole workers not before the batch is stored. The fact takes the short way,
// past the inputs, which wait for the batch too.
func tellOfAnOldTimeline(r *round) {
	r.publisher.resume()
	w := r.lone("events/after-enrich=hold@9")
	r.awaitWord("batches held")
	r.publisher.pause()
	last := r.tellContext(correction(r.world))
	r.Log(r.sees("the fact is closed", heldFor, func() bool { return r.closed(last) }))
	w.release()
}

// heldFor is for how long a batch is held where its safeguard is at work. A
// round is given up after half of what a rebalance may take.
const heldFor = 10 * time.Second

// closed tells whether facts up to an offset of the context log count as
// corrected for.
func (r *round) closed(offset int64) bool {
	answer, err := r.query(r.Context(), fmt.Sprintf("SELECT bitAnd(max(revision), bitShiftLeft(1::UInt64, 40) - 1) >= %d FROM whence_state.reconciled", offset))
	return err == nil && string(answer) == "1\n"
}

// A minute is sealed, and then a fact comes by which its rows belong to another
// deployment.
func tellOfASealedMinute(r *round) {
	r.publisher.resume()
	r.fleet.start("")
	r.publishes(5000)
	r.quieten()
	r.eventually("all hours are sealed", func() error {
		if n := r.number("SELECT count() FROM whence_state.open_hours"); n > 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
	r.publisher.inject((*world.World).Redeployment)
	r.publisher.flush()
}

// A command is about to rewrite rows by a fact that is retracted then. A worker,
// which knows both, finds that the rows are right, and closes the facts.
func tellOfALateRewrite(r *round) {
	r.publisher.resume()
	r.fleet.start("")
	r.publishes(5000)
	r.quieten()
	for _, err := range r.fleet.stopAll() {
		r.Error(err)
	}
	id := ""
	r.publisher.inject(func(w *world.World) (said []world.Said) { said, id = w.Correction(); return said })
	r.publisher.flush()
	held := r.lone("reconcile/after-promises=hold")
	r.awaitCovered(r.published())
	r.awaitFacts()
	r.fleet.kill(held)
	environment := append(slices.Clone(r.fleet.environment), pipeline.FailpointsVariable+"=reconcile/after-history=hold")
	command := pipelinetest.RunTo(r.T, r.journal.of("rebuild"), environment, "rebuild", "--clickhouse", "http://"+r.address)
	r.awaitWord("rewrites held")
	r.tellContext(r.world.Retract(id))
	r.fleet.start("")
	r.quieten()
	command.Signal(syscall.SIGUSR1)
	<-command.Ended()
}
