package clickhouse

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/whencehq/whence/pipeline"
)

// Config says where ClickHouse is.
type Config struct {
	// URL of the HTTP interface: http://host:8123 or https://host:8443. A
	// user and password in it are taken out of it at once.
	URL string
	// User, empty: "default".
	User string
	// PasswordFile holds the password, empty: none. A file, because flags and
	// environments are seen by others.
	PasswordFile string
	// Password, where it is known already. PasswordFile wins.
	Password string
	// Cluster makes the tables on every server of the cluster that the servers'
	// macro {cluster} names, replicated; they also need {shard} and {replica}.
	Cluster bool
	// InsertTimeout bounds one insert, 0: 20 s. It must be below the consumer
	// group's session timeout: an insert that outlives its owner races the next.
	InsertTimeout time.Duration
	// QueryTimeout bounds a query of the pipeline's own, 0: 60 s.
	QueryTimeout time.Duration
}

// Client talks to one ClickHouse. It is safe for concurrent use.
type Client struct {
	config         Config
	endpoint       url.URL // without credentials
	user, password string
	http           *http.Client
	db             *sql.DB
	shards         atomic.Pointer[bool] // whether there are any; nil: not asked yet
	marked         atomic.Int64         // the last correction's mark
}

// Open makes a client. It does not connect: use Ping. Errors are Fatal: they
// are about the configuration.
func Open(ctx context.Context, config Config) (*Client, error) {
	endpoint, err := url.Parse(config.URL)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		// The text of err may hold the password.
		return nil, pipeline.Fatalf("an address looks like http://127.0.0.1:8123",
			"clickhouse.url: not the address of an HTTP interface")
	}
	c := &Client{config: config, endpoint: *endpoint, user: config.User}
	if c.password, err = password(config, endpoint.User); err != nil {
		return nil, err
	}
	c.user = cmp.Or(c.user, endpoint.User.Username(), "default")
	c.config.InsertTimeout = cmp.Or(config.InsertTimeout, 20*time.Second)
	c.config.QueryTimeout = cmp.Or(config.QueryTimeout, 60*time.Second)
	c.endpoint.User = nil
	c.endpoint.Path = cmp.Or(endpoint.Path, "/")
	c.http = &http.Client{Transport: transport()}
	c.db = c.openDB()
	return c, ctx.Err()
}

func password(config Config, inURL *url.Userinfo) (string, error) {
	if config.PasswordFile == "" {
		word, _ := inURL.Password()
		return cmp.Or(config.Password, word), nil
	}
	text, err := os.ReadFile(config.PasswordFile)
	if err != nil {
		return "", pipeline.Fatalf("it holds the password alone", "clickhouse.password_file: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// transport keeps few connections: a worker inserts from a handful of
// goroutines at once.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     30 * time.Second,
		WriteBufferSize:     64 << 10,
	}
}

func (c *Client) openDB() *sql.DB {
	options := &ch.Options{
		Protocol:    ch.HTTP,
		Addr:        []string{c.endpoint.Host},
		Auth:        ch.Auth{Database: "default", Username: c.user, Password: c.password},
		HttpUrlPath: strings.TrimPrefix(c.endpoint.Path, "/"),
		DialTimeout: 5 * time.Second,
		ReadTimeout: c.config.QueryTimeout,
		Settings: ch.Settings{
			"session_timezone": "UTC",
		},
	}
	if c.endpoint.Scheme == "https" {
		options.TLS = secure()
	}
	return ch.OpenDB(options)
}

// DB is for queries. Its errors are not classed: pass them through Classify.
func (c *Client) DB() *sql.DB { return c.db }

// Close gives up the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.db.Close()
}

// pingTime is how long an answer to Ping may take. What is no ClickHouse (a
// broker's port) takes the request and never answers.
const pingTime = 10 * time.Second

// Ping asks whether ClickHouse takes statements with these credentials.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pingTime, fmt.Errorf("no answer within %s: is it ClickHouse's HTTP port?", pingTime))
	defer cancel()
	_, err := c.post(ctx, url.Values{"query": {"SELECT 1"}}, nil)
	if cause := context.Cause(ctx); err != nil && errors.Is(err, context.DeadlineExceeded) && cause != nil {
		err = unreachable(cause)
	}
	if err != nil {
		return fmt.Errorf("clickhouse at %s: %w", c.endpoint.Host, err)
	}
	return nil
}

// exec runs a statement whose settings go beside it.
func (c *Client) exec(ctx context.Context, statement string, settings url.Values) error {
	if settings == nil {
		settings = url.Values{}
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	_, err := c.post(ctx, settings, []byte(statement))
	return err
}

// post sends one request and returns its headers. The reply's body is read to
// its end: a statement has failed if the server says so there, too late for
// the status.
func (c *Client) post(ctx context.Context, params url.Values, body []byte) (http.Header, error) {
	reply, err := c.send(ctx, params, body)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if err := exceptionIn(reply); err != nil {
		return nil, err
	}
	return reply.Header, nil
}

// send sends one request. Its reply has any status, and a body to close.
func (c *Client) send(ctx context.Context, params url.Values, body []byte) (*http.Response, error) {
	// What a client that is gone can't hear should not run on.
	if deadline, ok := ctx.Deadline(); ok {
		params.Set("max_execution_time", fmt.Sprint(max(1, int(time.Until(deadline).Seconds()))))
	}
	endpoint := c.endpoint
	endpoint.RawQuery = params.Encode()
	request, err := newRequest(ctx, endpoint.String(), body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-ClickHouse-User", c.user)
	if c.password != "" {
		request.Header.Set("X-ClickHouse-Key", c.password)
	}
	// Go's client would ask for gzip by itself, which costs both sides more
	// than to read a million facts.
	request.Header.Set("Accept-Encoding", "identity")
	reply, err := c.http.Do(request)
	if err != nil {
		return nil, unreachable(err)
	}
	return reply, nil
}

// exceptionIn reads a reply that has no more than a few lines.
func exceptionIn(reply *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(reply.Body, 64<<10))
	if err != nil {
		return unreachable(err)
	}
	return exceptionOf(reply, string(text))
}
