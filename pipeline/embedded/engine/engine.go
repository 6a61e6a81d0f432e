package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
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
		leave() // of what it has opened something may be open still
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

// onAnyDisk and onAFullDisk hold for every table that says nothing else. Of what a full
// disk has spoiled any size is put aside at a start; the library refuses to start from
// a GiB on. On a full disk no parts are small enough to be merged, from the first
// moment on; SYSTEM STOP MERGES holds mutations, too.
var (
	onAnyDisk = fmt.Sprintf("<old_parts_lifetime>%d</old_parts_lifetime><max_suspicious_broken_parts_bytes>%d</max_suspicious_broken_parts_bytes>",
		int(sourcesStay.Seconds()), 1<<50)
	onAFullDisk = "<max_bytes_to_merge_at_max_space_in_pool>1</max_bytes_to_merge_at_max_space_in_pool>" +
		"<max_bytes_to_merge_at_min_space_in_pool>1</max_bytes_to_merge_at_min_space_in_pool><remove_empty_parts>0</remove_empty_parts>"
)

// tableDefaults writes down what holds for every table, as the library takes that from
// a file only, and returns the file for this life. Both are there before the disk is
// full, but for one that was full already when this version came to it.
func tableDefaults(data string, full bool) (string, error) {
	usual, other := filepath.Join(data, "engine.xml"), filepath.Join(data, "engine-full.xml")
	err := writeDefaults(usual, onAnyDisk)
	if writeDefaults(other, onAnyDisk+onAFullDisk) == nil && full {
		return other, nil
	}
	return usual, err
}

// writeDefaults leaves a file as it is where it is right, for the disk may be full.
func writeDefaults(file, settings string) error {
	text := "<clickhouse><merge_tree>" + settings + "</merge_tree></clickhouse>\n"
	if is, err := os.ReadFile(file); err == nil && string(is) == text {
		return nil
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
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
	config, err := tableDefaults(data, disk.began)
	if err != nil {
		return nil, err
	}
	if s.control, err = open(a, data, append([]string{"--config-file=" + config}, connectionArguments...)...); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		if disk.whole() {
			s.control.close()
		}
		return nil, err
	}
	return s, nil
}

func (s *server) prepare() error {
	if err := s.replaceDefault(); err != nil {
		return fmt.Errorf("database default: %w", err)
	}
	if s.disk.began {
		if _, _, err := s.control.exec("SYSTEM STOP MERGES", "TabSeparated", nil); err != nil {
			return fmt.Errorf("stop merges on a full disk: %w", err)
		}
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

// replaceDefault makes default an ordinary database. The library's own is an overlay over the file system, in which
// SELECT * FROM `/etc/passwd` reads the file.
func (s *server) replaceDefault() error {
	if _, _, err := s.control.exec("DETACH DATABASE IF EXISTS default", "TabSeparated", nil); err != nil {
		return err
	}
	definition := filepath.Join(s.data, "metadata", "default.sql")
	kept := definition + ".kept"
	if _, err := os.Stat(definition); errors.Is(err, fs.ErrNotExist) {
		_ = os.Rename(kept, definition) // an end came between the two renames below
	}
	text, err := os.ReadFile(definition)
	if errors.Is(err, fs.ErrNotExist) {
		return s.createDefault("")
	}
	if err != nil {
		return err
	}
	if _, _, err = s.control.exec("ATTACH DATABASE default", "TabSeparated", nil); err == nil {
		return nil
	}
	// A database without tables left nothing in the store that the engine could map its UUID to (error 49): it
	// can't be attached again, and nothing is lost by making it anew. So is one whose definition was written on a full
	// disk, and is empty.
	if len(text) > 0 && !strings.Contains(err.Error(), "Cannot find UUID mapping") || s.hasTables(string(text)) {
		return fmt.Errorf("%w (definition: %s)", err, definition)
	}
	// The disk may be full now, and the engine does not say that it could not write: the same database has the same
	// definition, which is put back.
	if err := os.Rename(definition, kept); err != nil {
		return err
	}
	if uuid := uuidPattern.FindString(string(text)); uuid != "" && s.createDefault(uuid) == nil {
		return os.Rename(kept, definition)
	}
	return errors.Join(s.createDefault(""), os.Remove(kept)) // there is none, or something without tables is below it
}

func (s *server) createDefault(uuid string) error {
	if uuid != "" {
		uuid = "UUID '" + uuid + "'"
	}
	_, _, err := s.control.exec("CREATE DATABASE default "+uuid+" ENGINE = Atomic", "TabSeparated", nil)
	return err
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// hasTables reports whether there are tables of the database that a text defines: definitions in the store, below its
// UUID, or where the text says none, below one of no other database. In doubt it has.
func (s *server) hasTables(text string) bool {
	data := os.DirFS(s.data)
	if uuid := uuidPattern.FindString(text); uuid != "" {
		tables, err := fs.Glob(data, path.Join("store", uuid[:3], uuid, "*.sql"))
		return err != nil || len(tables) > 0
	}
	named := map[string]bool{}
	databases, err := fs.Glob(data, "metadata/*.sql")
	if err != nil {
		return true
	}
	for _, database := range databases {
		text, err := fs.ReadFile(data, database)
		if err != nil {
			return true
		}
		named[uuidPattern.FindString(string(text))] = true
	}
	tables, err := fs.Glob(data, "store/*/*/*.sql")
	return err != nil || slices.ContainsFunc(tables, func(table string) bool { return !named[path.Base(path.Dir(table))] })
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
