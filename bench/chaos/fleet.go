package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// fleet is the workers, and who starts them again when they end by themselves.
type fleet struct {
	t       testing.TB
	journal *journal
	config  string
	// environment of every worker: NAME=value.
	environment []string

	mu      sync.Mutex
	workers []*worker
	started int
	peak    int64 // of resident memory of any worker, bytes
}

type worker struct {
	*pipelinetest.Process
	name string
	gone chan struct{} // closed when the fleet is not to start it again
	once sync.Once
}

func (w *worker) dismiss() { w.once.Do(func() { close(w.gone) }) }

// start adds a worker, armed with failpoints.
func (f *fleet) start(failpoints string) *worker {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
	w := &worker{name: "worker-" + strconv.Itoa(f.started), gone: make(chan struct{})}
	w.Process = f.run(w.name, failpoints)
	f.workers = append(f.workers, w)
	go f.look(w)
	return w
}

func (f *fleet) run(name, failpoints string) *pipelinetest.Process {
	environment := append(slices.Clone(f.environment), pipeline.FailpointsVariable+"="+failpoints)
	return pipelinetest.RunTo(f.t, f.journal.of(name), environment, "worker", "--config", f.config)
}

// look replaces a worker that has ended by itself, as an orchestrator does.
func (f *fleet) look(w *worker) {
	select {
	case <-w.gone:
	case <-w.Ended():
		f.mu.Lock()
		at := slices.Index(f.workers, w)
		if at >= 0 {
			f.workers = slices.Delete(f.workers, at, at+1)
		}
		f.mu.Unlock()
		select {
		case <-w.gone:
			return // killed on purpose
		default:
		}
		f.journal.add(exits)
		f.start("")
	}
}

// all are the workers that run now.
func (f *fleet) all() []*worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.workers)
}

// release lets a worker go on that holds at a failpoint.
func (w *worker) release() { w.Signal(syscall.SIGUSR1) }

// kill is kill -9 and no replacement.
func (f *fleet) kill(w *worker) {
	f.forget(w)
	w.Kill()
}

// stop lets a worker finish what it does, and reports how it ended.
func (f *fleet) stop(w *worker) error {
	f.forget(w)
	w.Signal(syscall.SIGTERM)
	select {
	case <-w.Ended():
		if code := w.ExitCode(); code != 0 {
			return fmt.Errorf("%s: exit %d after SIGTERM", w.name, code)
		}
		return nil
	case <-time.After(time.Minute):
		w.Kill()
		return fmt.Errorf("%s: still there a minute after SIGTERM", w.name)
	}
}

func (f *fleet) forget(w *worker) {
	w.dismiss()
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := slices.Index(f.workers, w); at >= 0 {
		f.workers = slices.Delete(f.workers, at, at+1)
	}
}

func (f *fleet) stopAll() (failed []error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, w := range f.all() {
		all.Go(func() {
			if err := f.stop(w); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	all.Wait()
	return failed
}

// scale makes the fleet n workers.
func (f *fleet) scale(n int) {
	for have := len(f.all()); have < n; have++ {
		f.start("")
	}
	var all sync.WaitGroup
	for _, w := range f.all()[n:] {
		all.Go(func() { _ = f.stop(w) }) // a worker that had to be killed is a fault too
	}
	all.Wait()
}

// measure looks at the workers' memory.
func (f *fleet) measure() {
	for _, w := range f.all() {
		rss := resident(w.Pid())
		f.mu.Lock()
		f.peak = max(f.peak, rss)
		f.mu.Unlock()
	}
}

// takePeak is the most memory that a worker was seen with since it was asked
// last.
func (f *fleet) takePeak() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	peak := f.peak
	f.peak = 0
	return peak
}

// resident is a process's memory, bytes; 0 where nobody knows.
func resident(pid int) int64 {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// stopped tells whether a process stands still.
func stopped(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, state, found := bytes.Cut(text, []byte(") "))
	return err == nil && found && len(state) > 0 && state[0] == 'T'
}
