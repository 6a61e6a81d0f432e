// Package exactlyonce kills workers and the engine while events flow through a
// real Apache Kafka, and counts afterwards.
package exactlyonce

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/pipelinetest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Kills is how many random kills there are: $WHENCE_KILLS, 30 unless told
// otherwise.
func kills(t *testing.T) int {
	text := os.Getenv("WHENCE_KILLS")
	if text == "" {
		return 30
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("WHENCE_KILLS=%q: %v", text, err)
	}
	return n
}

// failpoints are the steps of the protocol at which a worker is killed.
var failpoints = []string{
	"events/before-intent", "events/after-intent",
	"events/after-decode", "events/after-validate", "events/after-timeline", "events/after-enrich",
	"store/after-observations", "store/before-ledger",
	"events/before-commit", "events/after-commit",
	"context/before-intent", "context/after-intent", "store/after-facts",
	"context/before-commit", "context/after-commit",
}

func TestNothingIsLostOrCountedTwiceWhereverAWorkerOrTheEngineDies(t *testing.T) {
	s := newSetup(t)
	defer s.begin()()

	for _, point := range failpoints {
		w := s.worker(point + "=kill@2")
		select {
		case <-w.Ended():
		case <-time.After(time.Minute):
			t.Fatalf("the worker never came to %s", point)
		}
	}
	t.Logf("killed at %d failpoints", len(failpoints))

	s.killAtRandom(kills(t))
	s.settle()

	s.lateCommit()
	s.settle()
}

// setup is a broker, an engine and a flow of events.
type setup struct {
	*testing.T
	broker     *pipelinetest.Broker
	clickhouse string // host:port
	data       string
	config     string
	engine     *pipelinetest.Process
	client     *kgo.Client

	mu        sync.Mutex
	published int // observations that Kafka has acknowledged
	facts     int
	paused    bool
}

func newSetup(t *testing.T) *setup {
	s := &setup{T: t, broker: pipelinetest.StartBroker(t, nil), clickhouse: pipelinetest.FreeAddress(t), data: t.TempDir()}
	s.config = filepath.Join(t.TempDir(), "worker.yaml")
	s.write(s.config, fmt.Sprintf(`
kafka:
  seeds: [%s]
  session_timeout: 6s
  rebalance_timeout: 20s
  topics:
    inputs:
      - {name: behavior, partitions: 3}
      - {name: delivery, partitions: 1}
  fetch: {min_bytes: 4KiB, max_wait: 100ms, max_records: 5000}
clickhouse:
  url: http://%s
  insert_timeout: 5s
observe:
  listen: 127.0.0.1:0
`, s.broker.Addr, s.clickhouse))
	s.startEngine()
	s.command("migrate", "--clickhouse", "http://"+s.clickhouse)
	s.command("topics", "--config", s.config)
	// What a Replacing table would hide shows on a target that keeps all.
	s.query(`CREATE TABLE whence_state.raw (id String, value Float64) ENGINE = MergeTree ORDER BY tuple()
		SETTINGS non_replicated_deduplication_window = 100000`)
	s.query(`CREATE MATERIALIZED VIEW whence_state.raw_view TO whence_state.raw AS SELECT id, assumeNotNull(value) AS value FROM whence.observations WHERE rewritten = 0`)
	var err error
	if s.client, err = kgo.NewClient(kgo.SeedBrokers(s.broker.Addr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

func (s *setup) write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *setup) command(arguments ...string) {
	s.Helper()
	c := exec.Command(pipelinetest.Binary(s.T), arguments...)
	c.Dir = pipelinetest.Root()
	if out, err := c.CombinedOutput(); err != nil {
		s.Fatalf("whence %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

func (s *setup) startEngine() {
	s.Helper()
	s.engine = pipelinetest.Run(s.T, nil, "engine", "--data", s.data, "--listen", s.clickhouse)
	s.engine.AwaitLine("ready", time.Minute)
}

func (s *setup) worker(failpoints string) *pipelinetest.Process {
	s.Helper()
	return pipelinetest.Run(s.T, []string{pipeline.FailpointsVariable + "=" + failpoints}, "worker", "--config", s.config)
}

// begin publishes until the returned function is called: about 2,000
// observations a second, and one fact in 200.
func (s *setup) begin() func() {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.publish(100)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

func (s *setup) publish(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused {
		return
	}
	header := []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	records := make([]*kgo.Record, 0, n+1)
	for i := range n {
		id := s.published + i
		records = append(records, &kgo.Record{Topic: "whence.behavior", Headers: header, Value: fmt.Appendf(nil,
			`{"specversion":"1.0","id":"o%d","source":"test","type":"io.whence.behavior.recorded","time":%q,`+
				`"data":{"name":"page","service":"shop","environment":"prod","value":%d}}`, id, now, id)})
	}
	if s.published/n%2 == 0 {
		records = append(records, &kgo.Record{Topic: "whence.delivery", Headers: header, Value: fmt.Appendf(nil,
			`{"specversion":"1.0","id":"d%[1]d","source":"test","type":"io.whence.deployment.started","time":%[2]q,`+
				`"data":{"deployment_id":"d%[1]d","service":"shop","environment":"prod","version":"v%[1]d"}}`, s.facts, now)})
		s.facts++
	}
	if err := s.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		s.Errorf("publish: %v", err)
	}
	s.published += n
}

// killAtRandom keeps two workers going and kills one of them, or the engine,
// at random moments.
func (s *setup) killAtRandom(n int) {
	seed := uint64(time.Now().UnixNano())
	s.Logf("random kills with seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	workers := []*pipelinetest.Process{s.worker(""), s.worker("")}
	ofEngine := 0
	for range n {
		<-time.After(time.Duration(200+random.IntN(1500)) * time.Millisecond) // a moment of the flow, not of the test
		if random.IntN(4) == 0 {
			ofEngine++
			s.engine.Kill()
			s.startEngine()
			continue
		}
		i := random.IntN(len(workers))
		workers[i].Kill()
		workers[i] = s.worker("")
	}
	s.Logf("%d random kills, %d of them of the engine", n, ofEngine)
	s.settle()
	for _, w := range workers {
		w.Kill()
	}
}

// lateCommit stops a worker between insert and commit, lets another take over
// and go on, and then wakes the former owner up.
func (s *setup) lateCommit() {
	former := s.worker("events/before-commit=stop@3")
	pipelinetest.Eventually(s, time.Minute, "the worker stops before its commit", func() error {
		if state := s.state(former.Pid()); !strings.HasPrefix(state, "T") {
			return fmt.Errorf("its state is %q", state)
		}
		return nil
	})
	next := s.worker("")
	// Rows alone don't tell: a correction of the former owner may still be under way.
	pipelinetest.Eventually(s, time.Minute, "another worker takes over", func() error {
		if !strings.Contains(next.Stderr(), `partitions assigned  {"partitions": {"whence.behavior"`) {
			return fmt.Errorf("it owns no partition of whence.behavior")
		}
		return nil
	})
	before := s.count("whence.observations")
	pipelinetest.Eventually(s, time.Minute, "it goes on", func() error {
		if n := s.count("whence.observations"); n < before+2000 {
			return fmt.Errorf("%d rows, %d when it took over", n, before)
		}
		return nil
	})
	former.Signal(syscall.SIGCONT)
	pipelinetest.Eventually(s, time.Minute, "the former owner's commit is refused", func() error {
		if log := former.Stderr(); !strings.Contains(log, "session ended") {
			return fmt.Errorf("it has not said so")
		}
		return nil
	})
	s.settle()
	former.Kill()
	next.Kill()
}

// state is the process's state letter: T is stopped.
func (s *setup) state(pid int) string {
	out, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		s.Fatalf("ps: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// settle pauses the flow, waits until everything is stored, and counts. A
// worker must be running.
func (s *setup) settle() {
	s.Helper()
	s.mu.Lock()
	s.paused = true
	published, facts := s.published, s.facts
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.paused = false; s.mu.Unlock() }()
	spare := s.worker("")
	// The ledger is written last: what it accounts for is all there. The
	// context log may hold a fact more than once, so its end is asked for.
	pipelinetest.Advancing(s, 2*time.Minute, "everything is in the ledger", func() error {
		if n := s.ledger("whence.behavior"); n != published {
			return fmt.Errorf("%d of %d observations", n, published)
		}
		if n := s.ledger("whence.delivery"); n != facts {
			return fmt.Errorf("%d of %d facts", n, facts)
		}
		if n, end := s.ledger("whence.context"), s.contextEnd(); n != end {
			return fmt.Errorf("%d of %d records of the context log", n, end)
		}
		return nil
	})
	spare.Kill()
	sum := published * (published - 1) / 2
	for question, want := range map[string]int{
		"SELECT count() FROM whence_state.raw":              published,
		"SELECT toUInt64(sum(value)) FROM whence_state.raw": sum,
		"SELECT uniqExact(id) FROM whence_state.raw":        published,
		"SELECT uniqExact(id) FROM whence.observations":     published,
		"SELECT count() FROM whence.observations FINAL":     published,
		"SELECT count() FROM whence.facts FINAL":            facts,
		"SELECT count() FROM whence.deployments FINAL":      facts,
		"SELECT count() FROM whence.dead_letters":           0,
		// The ledger has no hole, no overlap, and adds up.
		`SELECT count() FROM (SELECT from_offset, lagInFrame(to_offset, 1, from_offset) OVER (
			PARTITION BY topic_id, partition ORDER BY from_offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
			FROM whence_state.batches FINAL) WHERE before != from_offset`: 0,
		"SELECT count() FROM whence_state.batches WHERE records != stored + dead":                            0,
		"SELECT toUInt64(sum(observations)) FROM whence_state.batches FINAL WHERE topic = 'whence.behavior'": published,
	} {
		if got := s.number(question); got != want {
			s.Errorf("%s\n\tgives %d, want %d", question, got, want)
		}
	}
	s.Logf("%d observations and %d facts published, each stored once", published, facts)
}

// ledger is how many records of a topic are accounted for.
func (s *setup) ledger(topic string) int {
	return s.number("SELECT toUInt64(sum(records)) FROM whence_state.batches FINAL WHERE topic = '" + topic + "'")
}

// contextEnd is how many records the context log has.
func (s *setup) contextEnd() int {
	ends, err := kadm.NewClient(s.client).ListEndOffsets(context.Background(), "whence.context")
	if err != nil {
		s.Fatal(err)
	}
	end, _ := ends.Lookup("whence.context", 0)
	return int(end.Offset)
}

func (s *setup) count(table string) int { return s.number("SELECT count() FROM " + table) }

func (s *setup) number(question string) int {
	s.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s.query(question)))
	if err != nil {
		s.Fatalf("%s: %v", question, err)
	}
	return n
}

func (s *setup) query(statement string) string {
	s.Helper()
	resp, err := http.Post("http://"+s.clickhouse+"/", "text/plain", strings.NewReader(statement))
	if err != nil {
		s.Fatalf("%s: %v", statement, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.Fatalf("%s: %v %s %s", statement, err, resp.Status, text)
	}
	return string(text)
}
