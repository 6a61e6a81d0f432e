package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
)

// ServeHTTP answers /ping, /replicas_status and / as a ClickHouse server does.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ping", r.URL.Path == "/replicas_status",
		r.URL.Path == "/" && r.URL.RawQuery == "" && r.Method != http.MethodPost:
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		io.WriteString(w, "Ok.\n")
		return
	case r.URL.Path != "/":
		http.Error(w, "There is no handle "+r.URL.Path+"\nUse / or /ping for health checks.\nOr POST a query to /", http.StatusNotFound)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method "+r.Method+" is not supported", http.StatusMethodNotAllowed)
		return
	}
	a := &answer{s: s, w: w, began: time.Now()}
	req, err := s.read(r)
	if req != nil {
		a.req = req
		if req.body != nil {
			defer req.body.close()
		}
		if req.queryID == "" {
			req.queryID = uuid.NewString()
		}
	}
	if err == nil {
		err = s.run(r, req, a)
	}
	if err != nil {
		a.fail(err)
	}
}

// run executes a request on a connection of its own, or on its session's.
func (s *server) run(r *http.Request, req *request, a *answer) error {
	ctx := r.Context()
	if isHello(req.sql, req.format, req.protocol) {
		data, err := hello(s.displayName, s.version, s.timezone)
		if err != nil {
			return err
		}
		return a.whole("Native", data, progress{resultRows: 1})
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	// The tag finds the statement in system.processes: the engine makes query ids of its own.
	tag := "whence " + uuid.NewString()
	conn, release, err := s.connect(req, tag)
	if err != nil {
		return err
	}
	defer release()
	text := req.sql
	if req.insert != nil {
		text += " FORMAT " + req.insert.format
	}
	p, err := s.guard.parse(conn, text, req.params)
	if err != nil {
		return err
	}
	if err := s.guard.check(p, req.user, s.cfg.AllowOutside); err != nil {
		return err
	}
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && p.class != classReadOnly {
		return fail(codeReadOnly, "READONLY", "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries")
	}
	for _, t := range req.tables {
		if err := s.bring(conn, t); err != nil {
			return err
		}
	}
	// A client that goes away takes its statement with it.
	over := make(chan struct{})
	defer close(over)
	stop := context.AfterFunc(ctx, func() { s.kill(tag, over) })
	defer stop()
	switch {
	case req.insert != nil && (p.selects || p.root != "InsertQuery"):
		return fail(codeSyntaxError, "SYNTAX_ERROR", "Cannot tell where the data of the INSERT begins")
	case req.insert != nil:
		return s.insert(ctx, conn, req, a)
	case p.root == "InsertQuery" && p.input:
		// The library takes the statement, answers success and stores nothing.
		return fail(codeNotImplemented, "NOT_IMPLEMENTED", "INSERT … SELECT FROM input() is not supported by the embedded engine")
	case strings.HasPrefix(p.root, "Select"):
		return s.query(ctx, conn, req, p, a, func() { s.kill(tag, over) })
	}
	if p.defines() {
		if err := s.disk.believed(); err != nil {
			return err
		}
	}
	// Everything else has a small result.
	format := req.format
	if _, f := outputClause(req.sql); f != "" && p.class == classReadOnly {
		format = f
	}
	out, did, err := conn.exec(req.sql, req.format, req.params)
	if err == nil && (p.root == "InsertQuery" || p.defines()) {
		err = s.disk.believed()
	}
	if err != nil {
		return err
	}
	return a.whole(format, out, did)
}

// connect opens a connection for one request, or takes its session's. Settings reach the statement as settings of the
// connection, which holds for every kind of statement, INSERTs with binary data among them.
func (s *server) connect(req *request, tag string) (*connection, func(), error) {
	settings := make([]parameter, 0, len(req.settings)+1)
	for _, set := range req.settings {
		if set.name == "log_comment" {
			tag += " " + set.value
			continue
		}
		settings = append(settings, set)
	}
	settings = append(settings, parameter{"log_comment", tag})
	// A session is for temporary tables and SET: a read-only user has neither, so nothing is lost by a fresh
	// connection, and readonly=1, which sticks to a connection, never meets another request.
	if req.session == "" || req.user.ReadOnly {
		conn, err := s.dial(req, settings)
		if err != nil {
			return nil, nil, err
		}
		return conn, conn.close, nil
	}
	held, err := s.sessions.acquire(req.session, req.sessionCheck, func() (*connection, error) { return s.dial(req, nil) })
	if err != nil {
		return nil, nil, err
	}
	restore, err := s.lend(held.conn, req, settings)
	if err != nil {
		s.sessions.release(req.session, held, req.sessionTimeout, true)
		return nil, nil, err
	}
	return held.conn, func() {
		broken := restore() != nil
		s.sessions.release(req.session, held, req.sessionTimeout, broken || req.sessionEnd)
	}, nil
}

// dial opens a connection with settings and a current database.
func (s *server) dial(req *request, settings []parameter) (*connection, error) {
	args := append([]string{}, connectionArguments...)
	args = append(args, settingArguments(settings)...)
	if req.user.ReadOnly {
		args = append(args, "--readonly=1")
	}
	conn, err := open(s.api, s.data, args...)
	if err != nil {
		return nil, s.explain(settings, err)
	}
	if req.database != "" {
		if _, _, err := conn.exec("USE "+backquoted(req.database), "Null", nil); err != nil {
			conn.close()
			return nil, err
		}
	}
	return conn, nil
}

// explain finds out which setting the engine refused: its own refusal of a connection says nothing.
func (s *server) explain(settings []parameter, refusal error) error {
	conn, err := open(s.api, s.data, connectionArguments...)
	if err != nil {
		return refusal
	}
	defer conn.close()
	for _, set := range settings {
		if _, _, err := conn.exec("SET "+assignment(set), "Null", nil); err != nil {
			return err
		}
	}
	return refusal
}

// lend puts a request's settings on its session's connection and returns what takes them off again.
func (s *server) lend(conn *connection, req *request, settings []parameter) (restore func() error, err error) {
	names := make([]string, len(settings))
	for i, set := range settings {
		names[i] = quoted(set.name)
	}
	out, _, err := conn.exec("SELECT name, value FROM system.settings WHERE changed AND name IN ("+strings.Join(names, ",")+")", "TabSeparated", nil)
	if err != nil {
		return nil, err
	}
	before := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		before[name] = unescapeTSV(value)
	}
	var back []string
	for _, set := range settings {
		if value, ok := before[set.name]; ok {
			back = append(back, assignment(parameter{set.name, value}))
		} else {
			back = append(back, set.name+" = DEFAULT")
		}
	}
	for _, set := range settings {
		if _, _, err := conn.exec("SET "+assignment(set), "Null", nil); err != nil {
			return nil, err
		}
	}
	if req.database != "" {
		if _, _, err := conn.exec("USE "+backquoted(req.database), "Null", nil); err != nil {
			return nil, err
		}
	}
	return func() error {
		for _, sql := range back {
			if _, _, err := conn.exec("SET "+sql, "Null", nil); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// bring makes an external table of the request on its connection.
func (s *server) bring(conn *connection, t external) error {
	sql := "CREATE TEMPORARY TABLE " + backquoted(t.name) + " (" + t.structure + ")"
	if p, err := s.guard.parse(conn, sql, nil); err != nil {
		return err
	} else if p.root != "CreateQuery" || p.outside != "" || p.refused != "" {
		return fail(codeBadArguments, "BAD_ARGUMENTS", "The structure of the external table %s is not a list of columns", t.name)
	}
	if _, _, err := conn.exec(sql, "Null", nil); err != nil {
		return err
	}
	in, err := conn.insert("INSERT INTO "+backquoted(t.name), t.format, nil)
	if err != nil {
		return err
	}
	if err := in.write(t.data); err != nil {
		in.cancel()
		return err
	}
	_, err = in.commit()
	return err
}

// kill cancels the statement with a tag, again and again until it is over: it may not have begun yet.
func (s *server) kill(tag string, over <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := s.ask("KILL QUERY WHERE startsWith(Settings['log_comment'], " + quoted(tag) + ") ASYNC FORMAT Null"); err != nil {
			s.log.Debug("cancel", zap.Error(err))
		}
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

// insert pushes the data that has come in whole.
func (s *server) insert(ctx context.Context, conn *connection, req *request, a *answer) error {
	if req.insert.format == "Values" && !s.cfg.AllowOutside {
		look := &valuesGuard{functions: s.guard.functions}
		if err := req.body.each(func(chunk []byte) error { _, err := look.Write(chunk); return err }); err != nil {
			return err
		}
	}
	in, err := conn.insert(req.sql, req.insert.format, req.params)
	if err != nil {
		return err
	}
	err = req.body.each(func(chunk []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return in.write(chunk)
	})
	if err != nil {
		in.cancel()
		return err
	}
	did, err := in.commit()
	if err == nil {
		err = s.disk.believed()
	}
	if err != nil {
		return err
	}
	return a.whole("", nil, did)
}

// query streams a SELECT's result: the engine writes it into a pipe, in any format and never holding it, and waits
// where the client is slow. (chdb_stream_query, the alternative, begins the format anew with every chunk: a JSON
// document each, a Parquet file each.)
func (s *server) query(ctx context.Context, conn *connection, req *request, p parse, a *answer, kill func()) error {
	at, format := outputClause(req.sql)
	if p.format == "" && format != "" { // SELECT format x
		at, format = len(strings.TrimRight(req.sql, " \t\r\n;")), ""
	}
	tail := req.sql[at:]
	if format == "" {
		tail, format = " FORMAT "+backquoted(req.format), req.format
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	// The engine opens the pipe by its number, in blocking mode; that may share this end's mode (Darwin).
	fd := write.Fd()
	if err := syscall.SetNonblock(int(fd), false); err != nil {
		write.Close()
		return err
	}
	sql := fmt.Sprintf("%s\nINTO OUTFILE '/dev/fd/%d' APPEND\n%s", req.sql[:at], fd, tail)
	type end struct {
		did progress
		err error
	}
	ended := make(chan end, 1)
	go func() {
		_, did, err := conn.exec(sql, req.format, req.params)
		runtime.KeepAlive(write)
		ended <- end{did, err} // before the reader sees the end of the pipe
		write.Close()
	}()
	outcome := func() (progress, error) {
		e := <-ended
		if e.err != nil {
			return e.did, tidied(e.err, sql, req.sql)
		}
		return e.did, ctx.Err()
	}
	if req.wait {
		held := &spool{dir: s.data}
		defer held.close()
		_, copyErr := io.Copy(held, read)
		read.Close()
		did, err := outcome()
		if err = errors.Join(err, copyErr); err != nil {
			return err
		}
		if err := a.begin(format, did, held.size); err != nil {
			return err
		}
		if err := held.each(func(chunk []byte) error { _, err := a.out.Write(chunk); return err }); err != nil {
			return err
		}
		return a.end()
	}
	// What fits this buffer is answered with a true summary, and with a true status when the statement fails.
	in := bufio.NewReaderSize(read, 128<<10)
	head, peekErr := in.Peek(in.Size())
	if peekErr != nil {
		did, err := outcome()
		if err != nil {
			return err
		}
		return a.whole(format, head, did)
	}
	// A longer result has rows, how many is not known yet: one is a lower bound.
	if err = a.begin(format, progress{resultRows: 1}, -1); err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{a.out}, struct{ io.Reader }{in}, make([]byte, 256<<10))
	}
	if err != nil { // the client is gone
		read.Close()
		go kill()
		<-ended
		return err
	}
	if _, err := outcome(); err != nil {
		return err
	}
	return a.end()
}

// tidied takes what the server added to a statement out of an error that quotes it.
func tidied(err error, ran, asked string) error {
	e := asException(err)
	text := e.text
	if i := strings.Index(ran, "\nINTO OUTFILE"); i >= 0 {
		if j := strings.Index(ran[i:], "APPEND\n"); j >= 0 {
			text = strings.ReplaceAll(text, ran[i:i+j+len("APPEND\n")], " ")
		}
	}
	return &exception{code: e.code, text: text}
}

func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func backquoted(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

func assignment(set parameter) string { return set.name + " = " + quoted(set.value) }

var tsv = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r", `\'`, "'", `\0`, "\x00", `\b`, "\b", `\f`, "\f")

func unescapeTSV(text string) string { return tsv.Replace(text) }
