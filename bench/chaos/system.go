package chaos

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/pipeline/pipelinetest/world"
)

// options say how large a system is.
type options struct {
	brokers   int
	shape     world.Shape
	rate      int // events a second
	workers   int
	disk      int           // megabytes for the engine
	rebalance time.Duration // rebalance_timeout of workers, 0: 20 s
	seal      time.Duration // how long a minute rests before it is sealed, 0: a minute
	horizon   time.Duration // of what workers keep in memory, 0: for ever
	// settle is what a recovery may take on a busy machine.
	settle time.Duration
}

// system is everything that runs: three brokers, an engine, workers, a
// publisher, and the links between them.
type system struct {
	*testing.T
	options

	cluster   *pipelinetest.Cluster
	disk      *disk
	engine    atomic.Pointer[pipelinetest.Process]
	address   string                // of the engine
	gateway   *pipelinetest.Gateway // before it
	store     *pipelinetest.Link    // before that
	query     oracle.Query          // past both
	journal   *journal
	fleet     *fleet
	world     *world.World
	record    *record
	publisher *publisher
	topics    []string // inputs
	logs      string
	filled    bool // the disk was full since what was inserted was compared last
	lost      sums // what full disks have cost the target of a view
}

func newSystem(t *testing.T, o options) *system {
	s := &system{T: t, options: o, logs: logFolder(t)}
	s.cluster = pipelinetest.StartCluster(t, o.brokers, nil)
	s.disk = newDisk(t, o.disk)
	s.address = pipelinetest.SettledAddress(t)
	s.gateway = pipelinetest.NewGateway(t, s.address)
	s.store = pipelinetest.NewLink(t, "engine", s.gateway.Addr)
	s.query = oracle.HTTP("http://" + s.address)
	s.startEngine()

	s.fleet = &fleet{t: t, journal: newJournal(t, filepath.Join(s.logs, "workers.log")), config: s.configure("fail")}
	s.journal = s.fleet.journal
	s.command("migrate", "--clickhouse", "http://"+s.address)
	s.command("topics", "--config", s.fleet.config)
	s.cluster.AwaitWhole(time.Minute)
	s.keepRaw()

	s.world = world.New(o.shape)
	s.record = newRecord(s.world)
	s.lookUpTopics()
	s.publisher = newPublisher(t, s.cluster.Seeds, s.world, s.record, o.rate)
	t.Cleanup(s.publisher.pause)
	for range o.workers {
		s.fleet.start("")
	}
	t.Cleanup(func() {
		for _, w := range s.fleet.all() {
			w.dismiss()
		}
	})
	return s
}

// logFolder is where what processes say is kept: $WHENCE_CHAOS_LOGS, or a
// folder that goes with the test.
func logFolder(t *testing.T) string {
	if dir := os.Getenv("WHENCE_CHAOS_LOGS"); dir != "" {
		dir = filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-"))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	return t.TempDir()
}

// configure writes a worker's configuration.
func (s *system) configure(onLost string) string {
	path := filepath.Join(s.logs, "worker-"+onLost+".yaml")
	text := fmt.Sprintf(`
kafka:
  seeds: [%s]
  session_timeout: 4s
  rebalance_timeout: %s
  topics:
    replication: %d
    inputs:
      - {name: behavior, partitions: 4}
      - {name: measurements, partitions: 2}
      - {name: campaign, partitions: 2}
      - {name: delivery, partitions: 2}
      - {name: incidents, partitions: 1}
      - {name: audit, partitions: 3}
  fetch: {min_bytes: 16KiB, max_wait: 100ms, max_records: 5000}
clickhouse:
  url: http://%s
  insert_timeout: 3s
observe:
  listen: 127.0.0.1:0
seal:
  after: %s
offsets:
  on_lost: %s
horizon: %s
`, strings.Join(s.cluster.Seeds, ", "), cmp.Or(s.rebalance, 20*time.Second), min(s.brokers, 3), s.store.Addr, cmp.Or(s.seal, time.Minute), onLost, s.horizon)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	s.topics = []string{"whence.behavior", "whence.measurements", topicCampaign, "whence.delivery", "whence.incidents", "whence.audit"}
	return path
}

// command runs whence and expects exit 0.
func (s *system) command(arguments ...string) string {
	s.Helper()
	out, err := s.try(arguments...)
	if err != nil {
		s.Fatalf("whence %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func (s *system) try(arguments ...string) (string, error) {
	c := exec.Command(pipelinetest.Binary(s.T), arguments...)
	c.Dir = pipelinetest.Root()
	out, err := c.CombinedOutput()
	return string(out), err
}

func (s *system) startEngine() {
	s.Helper()
	log, err := os.OpenFile(filepath.Join(s.logs, "engine.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = log.Close() })
	e := pipelinetest.RunTo(s.T, log, nil, "engine", "--data", filepath.Join(s.disk.dir, "data"), "--listen", s.address)
	e.AwaitLine("ready", 2*time.Minute)
	s.engine.Store(e)
}

// keepRaw makes a target that replaces nothing: what was inserted twice shows
// there, which a Replacing table would hide. Rows written again by a
// correction are left out.
func (s *system) keepRaw() {
	s.ask(`CREATE TABLE whence_state.raw (topic LowCardinality(String), partition Int32, offset Int64, id String, value Float64)
		ENGINE = MergeTree ORDER BY (topic, partition, offset) SETTINGS non_replicated_deduplication_window = 100000`)
	s.ask(`CREATE MATERIALIZED VIEW whence_state.raw_feed TO whence_state.raw AS
		SELECT topic, partition, offset, id, ifNull(value, 0) AS value FROM whence.observations WHERE rewritten = 0`)
}

// ask asks the engine and fails the test where it does not answer.
func (s *system) ask(statement string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	answer, err := s.query(ctx, statement)
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSuffix(string(answer), "\n")
}

func (s *system) number(statement string) int64 {
	s.Helper()
	n, err := strconv.ParseInt(s.ask(statement), 10, 64)
	if err != nil {
		s.Fatalf("%s: %v", statement, err)
	}
	return n
}

// lookUpTopics learns the topics' ids, which change when one is made again.
func (s *system) lookUpTopics() {
	s.Helper()
	pipelinetest.Eventually(s, time.Minute, "the topics are there", func() error {
		ids, err := s.topicIDs()
		if err == nil {
			s.record.incarnations(ids)
		}
		return err
	})
}

func (s *system) topicIDs() (map[string][16]byte, error) {
	ids, err := s.cluster.TopicIDs()
	if err != nil {
		return nil, err
	}
	for _, topic := range s.allTopics() {
		if _, there := ids[topic]; !there {
			return nil, fmt.Errorf("topic %s is not there", topic)
		}
	}
	return ids, nil
}

const topicContext = "whence.context"

func (s *system) allTopics() []string { return append(slices.Clone(s.topics), topicContext) }
