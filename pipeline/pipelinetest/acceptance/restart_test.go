package acceptance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/schemas/event"
)

func TestWhatWasStoredIsThereAfterSIGTERMAndNewEventsAreTaken(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	lines := func(prefix string) (all []said) {
		w := &randomWorld{Rand: random, prefix: prefix, minutes: 60}
		for range 200 {
			all = append(all, said{line: w.line(w.fact())}, said{line: w.line(w.observation())})
		}
		return all
	}
	dir := t.TempDir()
	s := up(t, dir)
	s.publish(file(t, "before.jsonl", lines("before-")))
	s.awaitQuiet()
	before := s.contents()
	s.stop()

	s = up(t, dir)
	sameContents(t, before, s.contents())
	facts, observations := s.count("facts"), s.count("observations")
	s.publish(file(t, "after.jsonl", lines("after-")))
	s.awaitQuiet()
	s.holdsLaw2()
	if s.count("facts") <= facts || s.count("observations") != observations+200 {
		t.Errorf("%d facts and %d observations before, %d and %d after 200 new ones", facts, observations, s.count("facts"), s.count("observations"))
	}
	if revisions := s.ask("SELECT min(revision) > 0, uniqExact(revision) = count() FROM whence.facts FINAL"); revisions != "1\t1" {
		t.Errorf("revisions are not of one order after the restart: %s", revisions)
	}
	s.stop()
}

// The load goes on while rows are being stored, and then everything is killed:
// batches are cut off wherever they are. A materialized view into a table that
// replaces nothing counts what was inserted, not what is left of it.
func TestKill9TakesTheChildrenAndNothingIsLostOrThereTwice(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	dir := t.TempDir()
	published := &acknowledged{ids: map[string]bool{}}
	for round := range 4 {
		s := up(t, dir)
		s.ask("CREATE DATABASE IF NOT EXISTS acceptance")
		s.ask("CREATE TABLE IF NOT EXISTS acceptance.inserted (id String) ENGINE = MergeTree ORDER BY tuple() " +
			"SETTINGS non_replicated_deduplication_window = 100000")
		s.ask("CREATE MATERIALIZED VIEW IF NOT EXISTS acceptance.feed TO acceptance.inserted AS SELECT id FROM whence.observations")
		children := s.children()
		if len(children) == 0 {
			t.Fatal("whence up has no child: the engine is to be a process of its own")
		}
		loaded := make(chan struct{})
		go func() {
			defer close(loaded)
			published.load(s, fmt.Sprint("round-", round, "-"))
		}()
		stored := s.rows("acceptance.inserted")
		enough := stored + 1 + random.IntN(20_000)
		pipelinetest.Eventually(t, time.Minute, "rows are stored", func() error {
			if stored = s.rows("acceptance.inserted"); stored < enough {
				return fmt.Errorf("%d of %d", stored, enough)
			}
			return nil
		})
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-s.exited
		<-loaded
		pipelinetest.Eventually(t, 10*time.Second, "the children die with it", func() error { return alive(children) })
		t.Logf("kill -9 with %d stored of %d acknowledged; %d children went with it", stored, len(published.ids), len(children))
	}
	s := up(t, dir)
	s.awaitQuiet()
	s.holdsLaw2()
	published.areStored(s)
	s.stop()
}

// areStored checks that every record is stored, by ids those acknowledged, and
// was inserted once.
func (a *acknowledged) areStored(s *system) {
	s.t.Helper()
	records := int(s.end(event.TopicBehavior))
	stored := map[string]bool{}
	for id := range strings.Lines(s.ask("SELECT DISTINCT id FROM whence.observations")) {
		stored[strings.TrimSpace(id)] = true
	}
	for id := range a.ids {
		if !stored[id] {
			s.t.Errorf("%s was acknowledged, and is lost", id)
			break
		}
	}
	final, inserted := s.count("observations"), s.rows("acceptance.inserted")
	if len(stored) != records || final != records || inserted != records {
		s.t.Errorf("%d records, %d ids stored, %d rows with FINAL, %d rows ever inserted", records, len(stored), final, inserted)
	}
	s.t.Logf("%d acknowledged, %d records, %d rows stored, %d ever inserted", len(a.ids), records, final, inserted)
}

func (s *system) count(table string) int { return s.rows("whence." + table + " FINAL") }

func (s *system) rows(table string) int {
	s.t.Helper()
	n, err := strconv.Atoi(s.ask("SELECT count() FROM " + table))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// acknowledged is the ids that Kafka has acknowledged. They are read when load
// has returned.
type acknowledged struct {
	mutex sync.Mutex
	ids   map[string]bool
}

// load publishes events until the system is gone.
func (a *acknowledged) load(s *system, prefix string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-s.exited
		cancel()
	}()
	producer, err := kgo.NewClient(kgo.SeedBrokers(s.kafka), kgo.DefaultProduceTopic(event.TopicBehavior), kgo.MaxBufferedRecords(2000))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer producer.Close()
	for number := 0; ctx.Err() == nil; number++ {
		id := prefix + strconv.Itoa(number)
		record := &kgo.Record{Value: structured(`"bad"`, `"`+id+`"`), Key: []byte(id)}
		producer.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				return // not acknowledged: whether it is there nobody has promised
			}
			a.mutex.Lock()
			defer a.mutex.Unlock()
			a.ids[id] = true
		})
	}
}

// children are the processes that whence up has started.
func (s *system) children() []string {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	if err != nil || len(lists) == 0 {
		s.t.Skip("no /proc to see the children of a process in: this test did not run")
	}
	var pids []string
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended has no children
		}
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// alive says which of the processes still run. One that nobody has waited for
// (state Z) does not.
func alive(pids []string) error {
	for _, pid := range pids {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err == nil && !strings.Contains(string(status), "State:\tZ") {
			return fmt.Errorf("process %s runs", pid)
		}
	}
	return nil
}
