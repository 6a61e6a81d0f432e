package acceptance_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What somebody has spoiled behind whence's back is made good, by either way.
func TestARebuildAndAReplayLeaveTheContentThatWasThere(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 41))
	m := &material{}
	for number := range 10 {
		w := &randomWorld{Rand: random, prefix: fmt.Sprintf("b%d-", number), minutes: 5 + random.IntN(120)}
		for range 40 {
			m.all = append(m.all, said{line: w.line(w.fact()), fact: true})
		}
		for range 60 {
			m.all = append(m.all, said{line: w.line(w.observation())})
		}
	}
	s := up(t, t.TempDir())
	s.publish(file(t, "world.jsonl", m.shuffled(*seed)))
	s.awaitQuiet()
	right := s.contents()
	topics := strings.Split(s.ask("SELECT DISTINCT topic FROM whence.observations ORDER BY topic"), "\n")
	sound := func(after string) {
		t.Helper()
		s.awaitQuiet()
		sameContents(t, right, s.contents())
		s.verifies(after)
	}
	replay := func(arguments ...string) (failed bool) {
		t.Helper()
		for _, topic := range topics {
			out, err := s.command(append([]string{"replay", "--kafka", s.kafka, "--topic", topic, "--from", "0"}, arguments...)...)
			var exit *exec.ExitError
			if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
				t.Fatalf("whence replay of %s: %v\n%s", topic, err, out)
			}
			if err != nil && !strings.Contains(out, "records are not stored") {
				t.Errorf("whence replay of %s: %v\n%s", topic, err, out)
			}
			failed = failed || err != nil
			t.Logf("whence replay of %s: %s", topic, out)
		}
		return failed
	}

	s.ask("ALTER TABLE whence.observations UPDATE owner = 'nobody', deployment_id = '', incident_ids = ['i'] WHERE cityHash64(id) % 2 = 0 SETTINGS mutations_sync = 1")
	s.ask("TRUNCATE TABLE whence.deployments")
	s.ask("TRUNCATE TABLE whence.findings")
	if s.differ(right) == "" {
		t.Error("nothing was spoiled")
	}
	if out, err := s.command("rebuild"); err != nil {
		t.Fatalf("whence rebuild: %v\n%s", err, out)
	}
	sound("after a rebuild of spoiled rows")

	if replay("--check") {
		t.Error("something is missing before anything was taken away")
	}
	s.ask("ALTER TABLE whence.observations DELETE WHERE cityHash64(id) % 3 = 0 SETTINGS mutations_sync = 1")
	if s.differ(right) != "observations" || !replay("--check") {
		t.Error("nothing is missing, though it was taken away")
	}
	if replay() || replay("--check") {
		t.Error("something is missing after a replay")
	}
	sound("after a replay of lost rows")

	if replay() {
		t.Error("a replay of what is there fails")
	}
	sound("after a replay of what was there")
	s.stop()
}

// command runs whence against the system's ClickHouse.
func (s *system) command(arguments ...string) (string, error) {
	out, err := exec.Command(whence, append(arguments, "--clickhouse", s.clickhouse)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// differ names the tables whose content is another one now.
func (s *system) differ(from map[string][]string) string {
	now := s.contents()
	return strings.Join(slices.DeleteFunc(slices.Sorted(maps.Keys(from)), func(table string) bool { return slices.Equal(from[table], now[table]) }), " ")
}
