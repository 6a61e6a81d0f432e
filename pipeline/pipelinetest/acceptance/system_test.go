package acceptance_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/schemas/event"
)

// whence is the binary under test, built once.
var whence string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "whence-acceptance")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	whence = filepath.Join(dir, "whence")
	build := exec.Command("go", "build", "-o", whence, "./cmd/whence")
	build.Dir = pipelinetest.Root()
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// system is a running `whence up`.
type system struct {
	t                      *testing.T
	dir, kafka, clickhouse string

	cmd    *exec.Cmd
	output lines         // what it says on standard error
	exited chan struct{} // closed when it is gone, err is why
	err    error
}

// up starts `whence up` on dir as a person does, and waits for the one line on
// standard output that says ready and where.
func up(t *testing.T, dir string, flags ...string) *system {
	t.Helper()
	library, err := engine.FindLibrary()
	if err != nil {
		t.Skip(err)
	}
	s := &system{t: t, dir: dir, exited: make(chan struct{})}
	s.cmd = exec.Command(whence, append([]string{"up", "--data", dir,
		"--listen-kafka", "127.0.0.1:0", "--listen-clickhouse", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0"}, flags...)...)
	s.cmd.Env = append(os.Environ(), engine.LibraryEnv+"="+library)
	s.cmd.Stderr = &s.output
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go s.follow(stdout, said)
	t.Cleanup(s.finish)
	select {
	case line := <-said:
		s.parse(line)
	case <-s.exited:
		t.Fatalf("whence up ended before it was ready: %v", s.err)
	case <-time.After(time.Minute):
		t.Fatal("whence up is not ready after a minute")
	}
	t.Logf("whence up: ready in %s", time.Since(begun).Round(time.Millisecond))
	return s
}

// follow hands on the first line with the word ready, and the end.
func (s *system) follow(stdout io.Reader, said chan<- string) {
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		if strings.Contains(scanner.Text(), "ready") && len(said) == 0 {
			said <- scanner.Text()
		}
	}
	s.err = s.cmd.Wait()
	close(s.exited)
}

var addresses = regexp.MustCompile(`kafka\W+([\w.-]+:\d+).*clickhouse\W+(?:http://)?([\w.-]+:\d+)`)

func (s *system) parse(line string) {
	match := addresses.FindStringSubmatch(line)
	if match == nil {
		s.t.Fatalf("the line that says ready names no addresses: %s", line)
	}
	s.kafka, s.clickhouse = match[1], "http://"+match[2]
}

// finish stops what a test has left running, and shows its last words if the test
// has failed.
func (s *system) finish() {
	_ = s.cmd.Process.Kill()
	<-s.exited
	if s.t.Failed() {
		s.t.Logf("whence up said last:\n%s", s.output.last(40))
	}
}

// stop sends SIGTERM and expects exit 0 within 10 seconds.
func (s *system) stop() {
	s.t.Helper()
	begun := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
		if s.err != nil {
			s.t.Fatalf("after SIGTERM: %v", s.err)
		}
		s.t.Logf("SIGTERM: exit 0 after %s", time.Since(begun).Round(time.Millisecond))
	case <-time.After(10 * time.Second):
		s.t.Fatal("still there 10 s after SIGTERM")
	}
}

// publish runs `whence publish` and expects exit 0.
func (s *system) publish(arguments ...string) {
	s.t.Helper()
	out, err := s.tryPublish(arguments...)
	if err != nil {
		s.t.Fatalf("whence publish: %v\n%s", err, out)
	}
	s.t.Logf("whence publish: %s", bytes.TrimSpace(out))
}

func (s *system) tryPublish(arguments ...string) ([]byte, error) {
	return exec.Command(whence, append([]string{"publish", "--kafka", s.kafka}, arguments...)...).CombinedOutput()
}

func (s *system) query(ctx context.Context, statement string) ([]byte, error) {
	return oracle.HTTP(s.clickhouse)(ctx, statement)
}

// ask runs a statement and returns its answer without the line's end.
func (s *system) ask(statement string) string {
	s.t.Helper()
	body, err := s.query(s.t.Context(), statement)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSuffix(string(body), "\n")
}

// client is a Kafka client of the test's own, for what `whence publish` would
// refuse to send.
func (s *system) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(s.kafka))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// end is the number of records a topic has been given.
func (s *system) end(topic string) int64 {
	s.t.Helper()
	offsets, err := kadm.NewClient(s.client()).ListEndOffsets(s.t.Context(), topic)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var sum int64
	offsets.Each(func(end kadm.ListedOffset) { sum += end.Offset })
	return sum
}

// awaitQuiet waits until the ledger accounts for every record of the input
// topics and of the context log, from the first to the last, and every fact is
// in every row it concerns.
func (s *system) awaitQuiet() {
	s.t.Helper()
	admin := kadm.NewClient(s.client())
	begun := time.Now()
	pipelinetest.Eventually(s.t, 3*time.Minute, "the ledger accounts for every record", func() error {
		return s.unaccounted(admin)
	})
	pipelinetest.Eventually(s.t, 2*time.Minute, "every fact is closed", func() error {
		if open := s.ask(`
			WITH
				(SELECT max(bitShiftLeft(epoch, 40) + toUInt64(to_offset - 1)) FROM whence_state.batches INNER JOIN whence_state.epochs USING (topic_id)) AS known,
				(SELECT max(revision) FROM whence_state.reconciled) AS closed
			SELECT closed, known WHERE closed < known`); open != "" {
			return fmt.Errorf("closed and known: %s", open)
		}
		return nil
	})
	s.t.Logf("quiet after %s", time.Since(begun).Round(time.Millisecond))
}

// unaccounted says which records the ledger does not know yet. The context log
// is asked for last: what the inputs bring it is there by then.
func (s *system) unaccounted(admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	select {
	case <-s.exited:
		s.t.Fatalf("whence up is gone: %v", s.err)
	default:
	}
	for _, topics := range [][]string{event.InputTopics(), {event.TopicContext}} {
		ends, err := admin.ListEndOffsets(ctx, topics...)
		if err != nil {
			return err
		}
		accounts, err := oracle.Accounts(ctx, s.query)
		if err != nil {
			return err
		}
		if err := compareEnds(ends, accounts); err != nil {
			return err
		}
	}
	return nil
}

func compareEnds(ends kadm.ListedOffsets, accounts []oracle.Account) error {
	stored := map[string]int64{}
	for _, a := range accounts {
		stored[fmt.Sprint(a.Topic, "/", a.Partition)] = a.Last
	}
	var missing []string
	ends.Each(func(end kadm.ListedOffset) {
		place := fmt.Sprint(end.Topic, "/", end.Partition)
		if stored[place] != end.Offset {
			missing = append(missing, fmt.Sprintf("%s: %d of %d", place, stored[place], end.Offset))
		}
	})
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, ", "))
	}
	return ends.Error()
}

// holdsLaw2 checks the ledger and prints its figures.
func (s *system) holdsLaw2() {
	s.t.Helper()
	troubles, err := oracle.Troubles(s.t.Context(), s.query)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, trouble := range troubles {
		s.t.Errorf("law 2: %+v", trouble)
	}
	accounts, err := oracle.Accounts(s.t.Context(), s.query)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range accounts {
		if a.First != 0 {
			s.t.Errorf("the ledger of %s/%d starts at %d", a.Topic, a.Partition, a.First)
		}
		s.t.Logf("ledger %s/%d: [%d, %d) in %d batches, %d stored + %d dead = %d records",
			a.Topic, a.Partition, a.First, a.Last, a.Batches, a.Stored, a.Dead, a.Records)
	}
}

// lines keeps what a process says.
type lines struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(p)
}

func (l *lines) last(n int) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	all := strings.Split(strings.TrimSpace(l.text.String()), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}
