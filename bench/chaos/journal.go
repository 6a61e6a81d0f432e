package chaos

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// What a worker says of itself, and the word for it in a round's effect.
var sayings = []struct{ line, word string }{
	{"session ended, a new one begins", "sessions ended"},
	{"partitions assigned", "assignments"},
	{"partitions revoked", "revocations"},
	{"trying again", "stages tried again"},
	{"the store does not answer", "waits for the store"},
	{"partition stopped", "partitions stopped"},
	{"a partition can't be read", "partitions unread"},
	{"left the group without a word", "silent leaves"},
	{"the group has dropped this member", "late commits refused"},
	{"half of the rebalance timeout is over", "rounds given up"},
	{"context log folded", "starts"},
	{"waiting for kafka", "waits for kafka"},
	{"was trimmed or made anew", "context logs lost"},
	{"failpoint events/after-enrich holds", "batches held"},
	{"failpoint events/before-commit holds", "commits held"},
	{"failpoint reconcile/after-history holds", "rewrites held"},
}

const exits = "exits by itself"

// journal counts what all workers say, and keeps it in a file.
type journal struct {
	mu     sync.Mutex
	counts map[string]int
	file   *os.File
}

func newJournal(t testing.TB, path string) *journal {
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return &journal{counts: map[string]int{}, file: file}
}

// of is where one worker's standard error goes.
func (j *journal) of(worker string) *scribe { return &scribe{journal: j, worker: worker} }

type scribe struct {
	journal *journal
	worker  string
	rest    []byte // of a line
}

// Write takes standard error.
func (s *scribe) Write(text []byte) (int, error) {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.rest = append(s.rest, text...)
	for {
		line, rest, whole := bytes.Cut(s.rest, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		s.journal.line(s.worker, string(line))
		s.rest = rest
	}
}

func (j *journal) line(worker, line string) {
	fmt.Fprintf(j.file, "%s %s\n", worker, line)
	for _, s := range sayings {
		if strings.Contains(line, s.line) {
			j.counts[s.word]++
		}
	}
}

// add counts what was seen from outside.
func (j *journal) add(word string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[word]++
}

func (j *journal) count(word string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts[word]
}

// since says what was counted since before.
func (j *journal) since(before map[string]int) string {
	now := j.all()
	var all []string
	words := []string{exits}
	for _, s := range sayings {
		words = append(words, s.word)
	}
	for _, word := range words {
		if n := now[word] - before[word]; n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, word))
		}
	}
	return strings.Join(all, ", ")
}

func (j *journal) all() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := map[string]int{}
	for word, n := range j.counts {
		all[word] = n
	}
	return all
}
