package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// The parent's and the child's ends of two pipes: over one the child learns of the parent's end, over the other the
// parent learns the child's address.
const (
	parentEnv = "WHENCE_ENGINE_PARENT_FD"
	readyEnv  = "WHENCE_ENGINE_READY_FD"
)

// ChildConfig says how to run the engine in a process of its own, so that its crash is not the parent's.
type ChildConfig struct {
	// Executable and Args start the engine: `--data Data --listen ADDRESS` is appended. Executable is this program
	// where empty, Args is {"engine"} where nil. The child calls [WatchParent] and [Run].
	Executable string
	Args       []string
	Env        []string // added to this process's environment

	Data         string
	Listen       string        // HOST:PORT; with port 0 the port of the first start is kept for all others
	StartTimeout time.Duration // 60 s where zero
	Stderr       io.Writer     // the child's standard error; os.Stderr where nil
	Logger       *zap.Logger   // nil: silent
}

// Child is an engine in a process of its own. It is started anew, on the same address, whenever it ends by itself.
type Child struct {
	cfg    ChildConfig
	log    *zap.Logger
	addr   string
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	pid      int
	restarts int
}

// Back-off between restarts: doubled at each crash, reset once a child has lived for a minute.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	steady     = time.Minute
	// stopTime is a second more than Run takes at the most.
	stopTime = 6 * time.Second
)

// Start runs the engine as a child process and returns when it can be queried. ctx bounds the child's life: when it is
// done the child is stopped as by [Child.Stop]. The child also ends when this process does, by kill -9 too: it holds
// the other end of a pipe whose closing it waits for.
func Start(ctx context.Context, cfg ChildConfig) (*Child, error) {
	if cfg.Executable == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		cfg.Executable = exe
	}
	if cfg.Args == nil {
		cfg.Args = []string{"engine"}
	}
	if cfg.StartTimeout == 0 {
		cfg.StartTimeout = time.Minute
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	log := cfg.Logger
	if log == nil {
		log = zap.NewNop()
	}
	life, cancel := context.WithCancel(ctx)
	c := &Child{cfg: cfg, log: log, addr: cfg.Listen, cancel: cancel, done: make(chan struct{})}
	p, err := c.spawn(life)
	if err != nil {
		cancel()
		return nil, err
	}
	c.addr = p.addr
	go c.keep(life, p)
	return c, nil
}

// Addr is where the engine listens: HOST:PORT, the same for the child's whole life.
func (c *Child) Addr() string { return c.addr }

// PID is the process that runs now; the one that ran last while there is none.
func (c *Child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// Restarts counts how often the engine ended by itself and was started anew.
func (c *Child) Restarts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restarts
}

// Stop ends the child: SIGTERM, and SIGKILL where that is not enough. It returns when the process is gone, after six
// seconds at the latest.
func (c *Child) Stop() {
	c.cancel()
	<-c.done
}

// keep waits for the process to end and starts another, until life is done.
func (c *Child) keep(life context.Context, p *process) {
	defer close(c.done)
	defer c.cancel()
	pause := firstPause
	for {
		select {
		case <-life.Done():
			p.stop()
			return
		case err := <-p.ended:
			c.log.Warn("the engine ended; starting it anew", zap.Error(err), zap.Duration("lived", time.Since(p.began)))
			p.close()
		}
		if time.Since(p.began) > steady {
			pause = firstPause
		}
		for {
			select {
			case <-life.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
			next, err := c.spawn(life)
			if err == nil {
				p = next
				c.mu.Lock()
				c.restarts++
				c.mu.Unlock()
				break
			}
			if life.Err() == nil {
				c.log.Error("the engine does not start", zap.Error(err))
			}
		}
	}
}

// process is one life of the child.
type process struct {
	cmd    *exec.Cmd
	parent *os.File // closing it ends the child
	ended  chan error
	began  time.Time
	addr   string
}

// spawn starts the executable and waits until it says where it listens.
func (c *Child) spawn(ctx context.Context) (*process, error) {
	watched, parent, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	defer watched.Close()
	ready, announce, err := os.Pipe()
	if err != nil {
		parent.Close()
		return nil, fmt.Errorf("engine: %w", err)
	}
	defer ready.Close()
	args := append(append([]string{}, c.cfg.Args...), "--data", c.cfg.Data, "--listen", c.addr)
	cmd := exec.Command(c.cfg.Executable, args...)
	cmd.Env = append(append(os.Environ(), c.cfg.Env...), parentEnv+"=3", readyEnv+"=4")
	cmd.ExtraFiles = []*os.File{watched, announce}
	last := &tail{w: c.cfg.Stderr}
	cmd.Stderr = last
	// A terminal's ^C goes to the whole group; the parent decides when the engine stops.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Standard error may be held open by something the child left behind.
	cmd.WaitDelay = time.Second
	err = cmd.Start()
	announce.Close()
	if err != nil {
		parent.Close()
		return nil, fmt.Errorf("engine: start %s: %w", filepath.Base(c.cfg.Executable), err)
	}
	p := &process{cmd: cmd, parent: parent, ended: make(chan error, 1), began: time.Now()}
	c.mu.Lock()
	c.pid = cmd.Process.Pid
	c.mu.Unlock()
	go func() { p.ended <- cmd.Wait() }()
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(ready).ReadString('\n')
		line <- strings.TrimSpace(text)
	}()
	select {
	case p.addr = <-line:
	case <-time.After(c.cfg.StartTimeout):
		p.stop()
		return nil, fmt.Errorf("engine: not ready after %s: %s", c.cfg.StartTimeout, last)
	case <-ctx.Done():
		p.stop()
		return nil, ctx.Err()
	}
	if said, failed := strings.CutPrefix(p.addr, failedMark); failed {
		p.stop()
		if text, err := strconv.Unquote(said); err == nil {
			said = text
		}
		return nil, errors.New(said)
	}
	if p.addr != "" {
		return p, nil
	}
	// The pipe closed without an address: the child is ending, or never meant to say.
	select {
	case err := <-p.ended:
		p.close()
		if err == nil {
			err = errors.New("it ended before it was ready")
		}
		return nil, fmt.Errorf("engine: %w: %s", err, last)
	case <-time.After(stopTime):
		p.stop()
		return nil, fmt.Errorf("engine: %s does not say that it is ready: %s", filepath.Base(c.cfg.Executable), last)
	}
}

func (p *process) close() { p.parent.Close() }

// stop ends the process, by force after stopTime.
func (p *process) stop() {
	defer p.close()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// failedMark begins what a child says instead of its address, before the quoted error.
const failedMark = "failed: "

// Parent is who waits for this process to be ready: the process that called [Start], or nobody.
type Parent struct{ announce *os.File }

// Ready tells the address ([Config].Ready).
func (p *Parent) Ready(addr string) { p.say(addr) }

// Failed tells why there will be none, so that [Start] returns it as it is. It says whether anybody listened: who did
// says it themselves, and this process need not.
func (p *Parent) Failed(err error) bool {
	return err != nil && p.say(failedMark+strconv.Quote(err.Error()))
}

// say writes the one line that a parent reads.
func (p *Parent) say(line string) bool {
	if p.announce == nil {
		return false
	}
	_, err := fmt.Fprintln(p.announce, line)
	p.announce.Close()
	p.announce = nil
	return err == nil
}

// WatchParent is the child's side of [Start]. The context it returns is done when the parent is gone, however it went;
// the process is ended six seconds later if it is still there then. In a process that Start did not start, the context
// is ctx and the parent is nobody.
func WatchParent(ctx context.Context) (watched context.Context, parent *Parent) {
	pipe := inherited(parentEnv)
	parent = &Parent{announce: inherited(readyEnv)}
	if pipe == nil {
		return ctx, parent
	}
	watched, cancel := context.WithCancelCause(ctx)
	go func() {
		io.Copy(io.Discard, pipe) // nothing is ever written: it ends when the parent does
		cancel(errors.New("the parent process is gone"))
		time.AfterFunc(stopTime, func() { os.Exit(1) })
	}()
	return watched, parent
}

// inherited opens a file descriptor named by the environment and keeps it from the processes that this one starts.
func inherited(env string) *os.File {
	fd, err := strconv.Atoi(os.Getenv(env))
	os.Unsetenv(env)
	if err != nil || fd < 3 {
		return nil
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), env)
}

// tail passes a child's standard error on and remembers its end, for the error of a start that failed.
type tail struct {
	w    io.Writer
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	t.last = append(t.last, data...)
	if cut := len(t.last) - 2048; cut > 0 {
		t.last = append(t.last[:0], t.last[cut:]...)
	}
	t.mu.Unlock()
	return t.w.Write(data)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}
