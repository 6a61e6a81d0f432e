package pipelinetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "whence-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "whence")
	build := exec.Command("go", "build", "-o", path, "./cmd/whence")
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// Binary is the whence command, built once a test process; $WHENCE_BINARY
// names one that is built already.
func Binary(t testing.TB) string {
	if path := os.Getenv("WHENCE_BINARY"); path != "" {
		return path
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Process is a whence command under test, in a process of its own.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout chan string // its lines, closed at the end
	done   chan struct{}

	mu     sync.Mutex
	stderr bytes.Buffer
}

// Run starts `whence arguments...` with more environment variables
// (NAME=value). It is killed when the test ends.
func Run(t testing.TB, environment []string, arguments ...string) *Process {
	t.Helper()
	p := &Process{t: t}
	p.start(p, environment, arguments)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("whence %s said at last:\n%s", strings.Join(arguments, " "), tail([]byte(p.Stderr()), 6000))
		}
	})
	return p
}

// RunTo is Run for a process that says much: what it says on standard error
// goes to stderr as it comes, and Stderr has nothing.
func RunTo(t testing.TB, stderr io.Writer, environment []string, arguments ...string) *Process {
	t.Helper()
	p := &Process{t: t}
	p.start(stderr, environment, arguments)
	return p
}

func (p *Process) start(stderr io.Writer, environment, arguments []string) {
	p.t.Helper()
	p.cmd, p.stdout, p.done = exec.Command(Binary(p.t), arguments...), make(chan string, 1000), make(chan struct{})
	p.cmd.Env = append(os.Environ(), environment...)
	p.cmd.Dir = Root() // the engine's library is found from here
	p.cmd.Stderr = stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go p.read(out)
	p.t.Cleanup(p.Kill)
}

// Write takes standard error.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

// Stderr is what the process has said on standard error so far.
func (p *Process) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

func (p *Process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		select {
		case p.stdout <- lines.Text():
		default: // nobody reads so much
		}
	}
	close(p.stdout)
	_ = p.cmd.Wait()
	close(p.done)
}

// AwaitLine returns the first line on standard output that contains word.
func (p *Process) AwaitLine(word string, within time.Duration) string {
	p.t.Helper()
	deadline := time.After(within)
	for {
		select {
		case line, ok := <-p.stdout:
			if !ok {
				p.t.Fatalf("whence ended without a line with %q:\n%s", word, p.Stderr())
			}
			if strings.Contains(line, word) {
				return line
			}
		case <-deadline:
			p.t.Fatalf("no line with %q within %s:\n%s", word, within, p.Stderr())
		}
	}
}

// Signal sends a signal; an ended process gets none.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill is kill -9, and waits for the end.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// ExitCode is that of an ended process, -1 for one that a signal ended.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Pid is its id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }
