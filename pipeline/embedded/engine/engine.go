package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// User may query over HTTP.
type User struct {
	Name     string
	Password string // empty: none is asked for, which [Run] allows on loopback only
	// ReadOnly users read tables and nothing else: no writes, no settings that matter, nothing outside the engine.
	// They are what BI tools get.
	ReadOnly bool
}

// Config says where the engine keeps its data and who may talk to it.
type Config struct {
	Data   string // directory, made where missing; one engine at a time
	Listen string // HOST:PORT; port 0 picks a free one
	Users  []User // none: the user default without a password
	// AllowOutside lets users who may write also use what reaches outside the engine: file(), url(), s3(), tables and
	// dictionaries with such sources, BACKUP. Never read-only users.
	AllowOutside bool
	Logger       *zap.Logger       // nil: silent
	Ready        func(addr string) // called once, when queries can be sent to addr
}

// Bounds on stopping, together under five seconds.
const (
	drainTime = 2 * time.Second // for running requests to end by themselves
	killTime  = time.Second     // for cancelled ones
	closeTime = time.Second     // for the engine, which may hang on close (26.7 with MergeTree tables is said to)
)

// Validate says what is wrong with the configuration.
func (c *Config) Validate() error {
	if c.Data == "" {
		return errors.New("engine: no data directory")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("engine: listen address %q is not HOST:PORT: %w", c.Listen, err)
	}
	seen := map[string]bool{}
	for _, u := range c.users() {
		if u.Name == "" || seen[u.Name] {
			return fmt.Errorf("engine: user name %q is empty or there twice", u.Name)
		}
		seen[u.Name] = true
		if u.Password == "" && !loopback(host) {
			return fmt.Errorf("engine: user %s has no password and %s is not a loopback address "+
				"(hint: listen on 127.0.0.1 or give a password)", u.Name, c.Listen)
		}
	}
	return nil
}

func (c *Config) users() []User {
	if len(c.Users) == 0 {
		return []User{{Name: "default"}}
	}
	return c.Users
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// ReadPassword reads a password from a file (its first line), or else from an environment variable. It is empty when
// neither is named or the variable is not set. A password never comes as a flag's value: every user of the machine reads those.
func ReadPassword(file, env string) (string, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("engine: password: %w", err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		if line = strings.TrimSuffix(line, "\r"); line == "" {
			return "", fmt.Errorf("engine: password: the first line of %s is empty", file)
		}
		return line, nil
	}
	if env == "" {
		return "", nil
	}
	return os.Getenv(env), nil
}

// Run serves until ctx is done, then stops within five seconds: running requests get a moment to end, then they are
// cancelled, and an engine that hangs on close is left behind. What was acknowledged is on disk before it is
// acknowledged, so leaving is as safe as kill -9 is.
//
// A full disk spoils what the engine merges, and only a start makes that good; what was merged is kept for a minute for
// it. So Run returns an error when the disk is seen to be about full, or a part to be spoiled. Started on a full disk the
// engine answers queries and merges nothing, and Run returns an error once there is room. The process has to end each time.
//
// The engine is one a process and a directory: Run is meant for a process of its own ([Start]). It takes SIGPIPE from the process.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	log := cfg.Logger
	if log == nil {
		log = zap.NewNop()
	}
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	unlock, err := lockDirectory(data)
	if err != nil {
		return err
	}
	defer func() { unlock() }()
	// leave keeps the lock of an engine that is not closed, until the process ends.
	leave := func() { unlock = func() {} }
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer listener.Close()
	// A client that goes away closes the pipe which the engine writes its result to.
	signal.Ignore(syscall.SIGPIPE)

	began := time.Now()
	disk := newDisk(data)
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	watched := make(chan error, 2)
	go func() { watched <- disk.watchSpace(watching) }()
	s, err := newServer(data, disk, cfg, log)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	// Requests outlive ctx by the drain time; then this cancels them.
	requests, cancelRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelRequests()
	web := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		// Longer than any client keeps an idle connection, so that it is never the server that closes one
		// just as the next request is on its way.
		IdleTimeout: 30 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    zap.NewStdLog(log.Named("http")),
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	log.Info("the engine is ready", zap.String("address", listener.Addr().String()), zap.String("data", data),
		zap.String("version", s.version), zap.Duration("opened in", time.Since(began)))
	if cfg.Ready != nil {
		cfg.Ready(listener.Addr().String())
	}

	go func() { watched <- disk.watchParts(watching) }()

	select {
	case err = <-failed:
	case err = <-watched: // not another moment, and no clean end: it would remove what is needed
		leave()
		web.Close()
		return fmt.Errorf("engine: %w", err)
	case <-ctx.Done():
	}
	drain, cancelDrain := context.WithTimeout(requests, drainTime)
	defer cancelDrain()
	if stopErr := web.Shutdown(drain); stopErr != nil {
		cancelRequests()
		late, cancelLate := context.WithTimeout(context.Background(), killTime)
		defer cancelLate()
		if stopErr = web.Shutdown(late); stopErr != nil {
			log.Warn("requests did not end in time", zap.Error(stopErr))
		}
		web.Close()
	}
	whole := false
	switch closed := within(closeTime, func() {
		if whole = disk.whole(); whole {
			s.close()
		}
	}); {
	case !closed:
		leave()
		log.Warn("the engine hangs on close; leaving it: what was acknowledged is on disk")
	case !whole:
		leave()
		log.Warn("the disk is or was about full; leaving the engine as it is: the next start makes good what could not be merged")
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("engine: %w", err)
	}
	return nil
}

// within runs f and reports whether it ended in time.
func within(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// lockDirectory keeps a second engine off the data: two of them would corrupt each other's tables.
func lockDirectory(data string) (unlock func(), err error) {
	path := filepath.Join(data, "engine.lock")
	// A descriptor and no os.File, which is closed once nobody refers to it: an engine
	// that is left as it is keeps the lock. The kernel drops it with the process,
	// however it ends.
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("engine: open %s: %w", path, err)
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer syscall.Close(fd)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			holder, _ := os.ReadFile(path)
			return nil, fmt.Errorf("engine: the data directory %s is in use by another engine (process %s)",
				data, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("engine: lock %s: %w", path, err)
	}
	if err := syscall.Ftruncate(fd, 0); err == nil {
		_, _ = syscall.Write(fd, fmt.Appendf(nil, "%d\n", os.Getpid()))
	}
	return func() { syscall.Close(fd) }, nil
}

// server answers HTTP requests out of the engine.
type server struct {
	cfg      Config
	log      *zap.Logger
	api      *api
	data     string
	disk     *disk
	users    map[string]*User
	guard    *guard
	settings map[string]bool // every setting the engine knows

	version, timezone, displayName string

	mu       sync.Mutex
	control  *connection // for the server's own statements, and to keep the engine open
	slots    chan struct{}
	sessions *sessions
}

// parallel bounds the requests inside the engine at one time: each holds a thread.
const parallel = 128

// connectionArguments hold for every connection. The library's defaults are those of an interactive tool:
// implicit_select makes any word a query. async_insert is on by default in 26.7 and would acknowledge in batches.
// Inserts end before merges do where a disk fills up (roomForMerges).
var connectionArguments = []string{"--implicit_select=0", "--allow_introspection_functions=0", "--async_insert=0",
	fmt.Sprintf("--min_free_disk_bytes_to_perform_insert=%d", roomForMerges)}

// tableDefaults writes down what holds for every table that says nothing else: the
// library takes that from a file only. It is left as it is where it is right, for the
// disk may be full. Of what a full disk has spoiled any size is put aside at a start;
// the library refuses to start from a GiB on.
func tableDefaults(data string) (string, error) {
	file := filepath.Join(data, "engine.xml")
	text := fmt.Sprintf("<clickhouse><merge_tree><old_parts_lifetime>%d</old_parts_lifetime>"+
		"<max_suspicious_broken_parts_bytes>%d</max_suspicious_broken_parts_bytes></merge_tree></clickhouse>\n", int(sourcesStay.Seconds()), 1<<50)
	if is, err := os.ReadFile(file); err == nil && string(is) == text {
		return file, nil
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return "", err
	}
	return file, os.Rename(file+".new", file)
}

func newServer(data string, disk *disk, cfg Config, log *zap.Logger) (*server, error) {
	a, err := load()
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, log: log, api: a, data: data, disk: disk, users: map[string]*User{}, settings: map[string]bool{},
		slots: make(chan struct{}, parallel), sessions: newSessions()}
	for _, u := range cfg.users() {
		s.users[u.Name] = &u
	}
	config, err := tableDefaults(data)
	if err != nil {
		return nil, err
	}
	if s.control, err = open(a, data, append([]string{"--config-file=" + config}, connectionArguments...)...); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		s.control.close()
		return nil, err
	}
	disk.accept()
	return s, nil
}

func (s *server) prepare() error {
	if s.disk.began {
		if _, _, err := s.control.exec("SYSTEM STOP MERGES", "TabSeparated", nil); err != nil {
			return fmt.Errorf("stop merges on a full disk: %w", err)
		}
	}
	if err := s.replaceDefaultDatabase(); err != nil {
		return err
	}
	out, _, err := s.control.exec("SELECT version(), timezone(), displayName()", "TabSeparatedRaw", nil)
	if err != nil {
		return err
	}
	fields := strings.Split(strings.TrimSuffix(string(out), "\n"), "\t")
	if len(fields) != 3 {
		return fmt.Errorf("the engine's answer to its version is %q", out)
	}
	s.version, s.timezone, s.displayName = fields[0], fields[1], fields[2]
	if out, _, err = s.control.exec("SELECT name FROM system.settings", "TabSeparatedRaw", nil); err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(out)) {
		s.settings[name] = true
	}
	s.guard, err = newGuard(s.control)
	return err
}

// replaceDefaultDatabase makes default an ordinary database. The library's own is an overlay over the file system,
// in which SELECT * FROM `/etc/passwd` reads the file.
func (s *server) replaceDefaultDatabase() error {
	if _, _, err := s.control.exec("DETACH DATABASE IF EXISTS default", "TabSeparated", nil); err != nil {
		return fmt.Errorf("database default: %w", err)
	}
	definition := filepath.Join(s.data, "metadata", "default.sql")
	if _, err := os.Stat(definition); err == nil {
		_, _, err := s.control.exec("ATTACH DATABASE default", "TabSeparated", nil)
		if err == nil {
			return nil
		}
		// A database without tables left nothing in the store that the engine could map its UUID to (error 49): it
		// can't be attached again, and nothing is lost by making it anew.
		if !strings.Contains(err.Error(), "Cannot find UUID mapping") || s.hasTables(definition) {
			return fmt.Errorf("database default: %w", err)
		}
		if err := os.Remove(definition); err != nil {
			return fmt.Errorf("database default: %w", err)
		}
	}
	if _, _, err := s.control.exec("CREATE DATABASE default ENGINE = Atomic", "TabSeparated", nil); err != nil {
		return fmt.Errorf("database default: %w", err)
	}
	return nil
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// hasTables reports whether the database that a file defines has table definitions in the store. In doubt it has.
func (s *server) hasTables(definition string) bool {
	text, err := os.ReadFile(definition)
	uuid := uuidPattern.FindString(string(text))
	if err != nil || uuid == "" {
		return true
	}
	tables, err := filepath.Glob(filepath.Join(s.data, "store", uuid[:3], uuid, "*.sql"))
	return err != nil || len(tables) > 0
}

// ask runs a statement of the server's own.
func (s *server) ask(sql string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control == nil {
		return nil, errors.New("the engine is closed")
	}
	out, _, err := s.control.exec(sql, "TabSeparatedRaw", nil)
	return out, err
}

func (s *server) close() {
	s.sessions.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control.close()
	s.control = nil
}
