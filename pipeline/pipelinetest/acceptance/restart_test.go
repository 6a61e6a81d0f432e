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

func TestAfterSIGTERMEverythingIsThereAndKnownAndNewEventsAreTaken(t *testing.T) {
	w := &randomWorld{Rand: rand.New(rand.NewPCG(4, 4)), prefix: "", minutes: 60}
	lines := func(n int, event func() object) (all []said) {
		for range n {
			all = append(all, said{line: w.line(event())})
		}
		return all
	}
	dir := t.TempDir()
	s := up(t, dir)
	s.publish(file(t, "facts.jsonl", lines(200, w.fact)))
	s.awaitQuiet()
	s.publish(file(t, "observations.jsonl", lines(100, w.observation)))
	s.awaitQuiet()
	before := s.contents()
	s.stop()

	s = up(t, dir)
	sameContents(t, before, s.contents())
	s.publish(file(t, "observations.jsonl", lines(300, w.observation)))
	s.awaitQuiet()
	s.equalsOracle() // so the worker knows all facts of its former life
	if have := s.count("observations"); have != 400 {
		t.Errorf("%d observations of 100 before and 300 after", have)
	}
	facts := s.count("facts")
	s.publish(file(t, "facts.jsonl", lines(200, w.fact)))
	s.awaitQuiet()
	s.equalsOracle()
	s.entitiesEqualOracle()
	s.holdsLaw2()
	t.Logf("%d facts before, %d after", facts, s.count("facts"))
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
		t.Logf("kill -9 with %d stored of %d acknowledged; %d children went with it", stored, published.count(), len(children))
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
	a.mutex.Lock()
	defer a.mutex.Unlock()
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

// acknowledged is the ids that Kafka has acknowledged.
type acknowledged struct {
	mutex sync.Mutex
	ids   map[string]bool
}

func (a *acknowledged) count() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return len(a.ids)
}

// load publishes events and stays until the system is gone. They are more than
// the test waits for, and few enough to be stored soon after.
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
	for number := 0; number < 40_000 && ctx.Err() == nil; number++ {
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
	<-ctx.Done()
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
