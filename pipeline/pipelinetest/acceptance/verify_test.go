package acceptance_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Crowded worlds, shuffled, so that facts come late, twice, in two ways and are
// taken back, while rows are corrected and minutes sealed and sealed again.
func TestVerifyFindsNothingWhileTheSystemWorksNorAfterwards(t *testing.T) {
	const worlds, facts, observations, slicesOf = 60, 40, 60, 500
	random := rand.New(rand.NewPCG(*seed, 31))
	m := &material{}
	for number := range worlds {
		w := &randomWorld{Rand: random, prefix: fmt.Sprintf("v%d-", number), minutes: 5 + random.IntN(120)}
		for range facts {
			m.all = append(m.all, said{line: w.line(w.fact()), fact: true})
		}
		for range observations {
			m.all = append(m.all, said{line: w.line(w.observation())})
		}
	}
	s := up(t, t.TempDir())
	for number, slice := range slices.Collect(slices.Chunk(m.shuffled(*seed), slicesOf)) {
		s.publish(file(t, fmt.Sprint("slice-", number, ".jsonl"), slice))
		s.verifies("while it works") // the slice is published, and not yet stored, corrected or sealed
	}
	s.awaitQuiet()
	s.verifies("at the end")
	s.stop()
}

// verifies runs `whence verify` and expects that nothing differs.
func (s *system) verifies(when string) {
	out, err := exec.Command(whence, "verify", "--clickhouse", s.clickhouse).CombinedOutput()
	if err != nil {
		s.t.Errorf("whence verify, %s: %v\n%s", when, err, out)
		return
	}
	s.t.Logf("whence verify, %s: %s", when, strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "; "))
}
