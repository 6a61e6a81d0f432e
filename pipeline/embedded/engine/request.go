package engine

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// request is what a client asks for: ClickHouse's HTTP interface in one value.
type request struct {
	user     *User
	sql      string // the whole statement, or an INSERT's head
	format   string // for output: the default unless the statement names one
	params   []parameter
	settings []parameter
	database string
	queryID  string
	protocol string // client_protocol_version

	insert *insertion // set when the statement is an INSERT with data
	body   *spool     // its data
	tables []external

	session        string
	sessionTimeout time.Duration
	sessionCheck   bool
	sessionEnd     bool

	compress    bool   // ClickHouse's own frames in the answer
	compression string // their method
	encoding    string // Content-Encoding of the answer
	wait        bool   // hold the answer until the statement has ended
}

// external is a temporary table that a multipart request brings along.
type external struct {
	name, structure, format string
	data                    []byte
}

// maxStatement bounds a statement's text. An INSERT's data is not part of it.
const maxStatement = 64 << 20

// headBytes is how much of a body is looked at to see what it is. An INSERT's head is shorter than max_query_size.
const headBytes = 1 << 20

// Parameters that are not settings.
var reserved = map[string]bool{
	"query": true, "database": true, "default_format": true, "user": true, "password": true, "quota_key": true,
	"query_id": true, "session_id": true, "session_timeout": true, "session_check": true, "close_session": true,
	"compress": true, "decompress": true, "stacktrace": true, "buffer_size": true, "wait_end_of_query": true,
	"client_protocol_version": true, "role": true,
}

// What a read-only user may set: how the answer looks and how long it may take. Everything else is refused (164).
var readOnlySettings = words(`max_execution_time max_result_rows max_result_bytes result_overflow_mode timeout_overflow_mode
	final session_timezone join_use_nulls group_by_use_nulls extremes max_block_size max_threads enable_http_compression
	http_zlib_compression_level send_progress_in_http_headers http_headers_progress_interval_ms log_comment log_queries
	cancel_http_readonly_queries_on_client_close http_write_exception_in_output_format http_response_buffer_size
	http_wait_end_of_query network_compression_method network_zstd_compression_level date_time_output_format
	date_time_input_format cast_string_to_date_time_mode use_client_time_zone http_max_field_value_size
	select_sequential_consistency enable_unaligned_array_join http_receive_timeout http_send_timeout`)

func readOnlyMaySet(name string) bool {
	return readOnlySettings[name] || !outsideSettings[name] &&
		(strings.HasPrefix(name, "output_format_") || strings.HasPrefix(name, "format_") || strings.HasPrefix(name, "limit") || name == "offset")
}

// authenticate finds the user by the headers, Basic authentication or the parameters, in ClickHouse's order.
func (s *server) authenticate(r *http.Request, query url.Values) (*User, error) {
	name, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	if name == "" && password == "" {
		if n, p, ok := r.BasicAuth(); ok {
			name, password = n, p
		} else {
			name, password = query.Get("user"), query.Get("password")
		}
	}
	if name == "" {
		name = "default"
	}
	u := s.users[name]
	if u == nil || !equal(u.Password, password) && u.Password != "" {
		return nil, fail(codeAuthFailed, "AUTHENTICATION_FAILED",
			"%s: Authentication failed: password is incorrect, or there is no user with such name", name)
	}
	if u.Password == "" {
		if err := sameSite(r); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// sameSite keeps web pages out where no password is asked for: a page of any site may send requests to loopback, and
// with a name that resolves to it (DNS rebinding) even read the answers.
func sameSite(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !loopback(strings.Trim(host, "[]")) {
		return fail(codeAuthFailed, "AUTHENTICATION_FAILED", "Host %q is not a loopback address and there is no password", r.Host)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !loopback(u.Hostname()) {
			return fail(codeAuthFailed, "AUTHENTICATION_FAILED", "Origin %q is not allowed without a password", origin)
		}
	}
	return nil
}

// read takes a request apart, its body included: once it returns, all that the client sends is here.
func (s *server) read(r *http.Request) (*request, error) {
	query := r.URL.Query()
	user, err := s.authenticate(r, query)
	if err != nil {
		return nil, err
	}
	body, err := decoded(r.Body, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	req := &request{user: user}
	if kind, args, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		if body, err = req.readForm(body, args["boundary"], query); err != nil {
			return nil, err
		}
	}
	if err := s.parameters(req, r, query); err != nil {
		return nil, err
	}
	if flag(query, "decompress") {
		body = newFrames(body)
	}
	return req, req.readBody(&sticky{r: body}, query.Get("query"), s.data)
}

// parameters sorts the URL's parameters into the request's fields, bound values and settings.
func (s *server) parameters(req *request, r *http.Request, query url.Values) error {
	req.database = firstOf(r.Header.Get("X-ClickHouse-Database"), query.Get("database"))
	req.format = firstOf(r.Header.Get("X-ClickHouse-Format"), query.Get("default_format"), "TabSeparated")
	req.queryID = firstOf(query.Get("query_id"), r.Header.Get("X-ClickHouse-Query-Id"))
	req.protocol = query.Get("client_protocol_version")
	req.compress = flag(query, "compress")
	req.wait = flag(query, "wait_end_of_query") || flag(query, "http_wait_end_of_query")
	req.compression = query.Get("network_compression_method")
	if v := query.Get("enable_http_compression"); !req.compress && v != "0" && v != "false" {
		req.encoding = acceptable(r.Header.Get("Accept-Encoding"))
	}
	if id := query.Get("session_id"); id != "" {
		req.session = req.user.Name + "\x00" + id
		req.sessionTimeout = sessionTimeout
		if v := query.Get("session_timeout"); v != "" {
			seconds, err := strconv.Atoi(v)
			if err != nil || seconds < 0 || time.Duration(seconds)*time.Second > maxSessionTimeout {
				return fail(codeBadArguments, "BAD_ARGUMENTS", "session_timeout %q is not a number of seconds up to %d", v, int(maxSessionTimeout.Seconds()))
			}
			req.sessionTimeout = time.Duration(seconds) * time.Second
		}
		req.sessionCheck, req.sessionEnd = flag(query, "session_check"), flag(query, "close_session")
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := query.Get(name)
		if param, ok := strings.CutPrefix(name, "param_"); ok {
			req.params = append(req.params, parameter{param, value})
			continue
		}
		if reserved[name] || value == "" && !s.settings[name] || req.describesTable(name) {
			continue
		}
		switch {
		case !s.settings[name]:
			return fail(codeUnknownSetting, "UNKNOWN_SETTING", "Setting %s is neither a builtin setting nor started with the prefix 'SQL_' registered for user-defined settings", name)
		case req.user.ReadOnly && name == "readonly":
			continue // it is
		case req.user.ReadOnly && !readOnlyMaySet(name):
			return fail(codeReadOnly, "READONLY", "Cannot modify '%s' setting in readonly mode", name)
		case parserSettings[name]:
			return fail(codeAccessDenied, "ACCESS_DENIED", "The setting %s is not available over HTTP", name)
		case outsideSettings[name] && !s.cfg.AllowOutside:
			return fail(codeAccessDenied, "ACCESS_DENIED", "Not enough privileges: the setting %s reaches outside the engine", name)
		}
		req.settings = append(req.settings, parameter{name, value})
	}
	return nil
}

// describesTable reports whether a parameter belongs to an external table: t_structure, t_format, t_types.
func (req *request) describesTable(name string) bool {
	for _, t := range req.tables {
		if name == t.name+"_structure" || name == t.name+"_format" || name == t.name+"_types" {
			return true
		}
	}
	return false
}

// readForm reads a multipart body: fields are parameters, files are external tables.
func (req *request) readForm(body io.Reader, boundary string, query url.Values) (io.Reader, error) {
	form := multipart.NewReader(body, boundary)
	var total int64
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return strings.NewReader(""), nil
		}
		if err != nil {
			return nil, cutOff(err)
		}
		data, err := io.ReadAll(io.LimitReader(part, maxStatement-total+1))
		if err != nil {
			return nil, cutOff(err)
		}
		if total += int64(len(data)); total > maxStatement {
			return nil, fail(codeBadArguments, "BAD_ARGUMENTS", "A multipart body is limited to %d bytes", maxStatement)
		}
		name := part.FormName()
		if _, file := part.Header["Content-Type"]; !file && part.FileName() == "" {
			query.Set(name, string(data))
			continue
		}
		req.tables = append(req.tables, external{name: name, data: data,
			structure: query.Get(name + "_structure"), format: firstOf(query.Get(name+"_format"), "TabSeparated")})
	}
}

// readBody puts the statement together: the query parameter, a line end, the body. An INSERT's data is spooled.
func (req *request) readBody(body io.Reader, text, dir string) error {
	head := []byte(text)
	if text != "" {
		head = append(head, '\n')
	}
	queryBytes := len(head)
	rest := io.LimitReader(body, headBytes)
	head, err := appendAll(head, rest)
	if err != nil {
		return cutOff(err)
	}
	// Data given by the body alone may be binary; the statement is looked for in what is text.
	if ins, ok := findInsertion(string(head)); ok {
		if text != "" && ins.data == queryBytes-1 {
			ins.data = queryBytes // the line end between the two is the statement's
		}
		req.insert, req.sql = &ins, ins.head
		req.body = &spool{dir: dir}
		if _, err := req.body.Write(head[min(ins.data, len(head)):]); err != nil {
			return err
		}
		if _, err := io.Copy(req.body, body); err != nil {
			return cutOff(err)
		}
		return nil
	}
	if head, err = appendAll(head, io.LimitReader(body, maxStatement)); err != nil {
		return cutOff(err)
	}
	if len(head) > maxStatement {
		return fail(codeSyntaxError, "SYNTAX_ERROR", "Max query size exceeded (%d bytes)", maxStatement)
	}
	req.sql = string(head)
	if strings.Trim(req.sql, " \t\r\n\f\v;") == "" {
		return fail(codeSyntaxError, "SYNTAX_ERROR", "Empty query")
	}
	return nil
}

func appendAll(data []byte, r io.Reader) ([]byte, error) {
	more, err := io.ReadAll(r)
	return append(data, more...), err
}

// cutOff words the early or broken end of a body. Nothing of it has been given to the engine.
func cutOff(err error) error {
	var known *exception
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fail(codeUnexpectedEnd, "UNEXPECTED_END_OF_FILE", "The body ended early; nothing of it was stored")
	}
	return fail(codeCannotDecompress, "CANNOT_DECOMPRESS", "Cannot read the body (%v); nothing of it was stored", err)
}

func flag(query url.Values, name string) bool {
	v := query.Get(name)
	return v != "" && v != "0" && !strings.EqualFold(v, "false")
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
