package ingest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/semaphore"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/schemas/event"
)

// Sender is a kafka.Publisher. Send must not block for long, and calls done once.
type Sender interface {
	Send(ctx context.Context, m kafka.Message, done func(error))
}

// Publishing is how a gateway sends to Kafka.
func Publishing(c config.Ingest) kafka.Publishing {
	return kafka.Publishing{
		Timeout: c.Timeouts.Kafka.Std(),
		// A few milliseconds gather a hundred records of small requests at 20,000
		// a second, and are little beside the round trip.
		Linger: 3 * time.Millisecond, Quick: true,
		// The gateway bounds what is in flight itself, and refuses instead of waiting.
		MaxRecords: 1_000_000, MaxBytes: 2 * int(c.MaxInFlight),
	}
}

// Options are what a gateway needs. Only Split, TLS and Loopback may be absent.
type Options struct {
	Config  config.Ingest
	Limits  config.Limits
	Topics  config.Topics
	Sender  Sender
	Stages  []pipeline.Processor // that records would go through first: decode, validate
	Split   Split                // nil: a report that is too large for a record is refused
	Clock   func() time.Time
	Metrics *observe.Metrics
	Health  *observe.Health // what /livez and /readyz say
	Log     *zap.Logger
	// Loopback: only this machine can reach it, so endpoints that nobody signs
	// for are open where no token is configured.
	Loopback bool
}

// Gateway answers requests.
type Gateway struct {
	config    config.Ingest
	limits    config.Limits
	topics    config.Topics
	sender    Sender
	stages    []pipeline.Processor
	split     Split
	clock     func() time.Time
	metrics   *observe.Metrics
	log       *zap.Logger
	maxRecord int // bytes of a record's value and headers

	endpoints map[string]*endpoint
	documents map[string]http.Handler
	list      []*endpoint
	budget    budget
	running   atomic.Int64
	reports   chan struct{} // a place for each large report
	unpacking chan struct{} // and for each body that is being unpacked
	reading   *semaphore.Weighted
}

// New makes a gateway, and reads its secrets.
func New(o Options) (*Gateway, error) {
	// A flood of refusals must not become one of lines.
	log := o.Log.Named("ingest").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 10, 1000)
	}))
	g := &Gateway{
		config: o.Config, limits: o.Limits, topics: o.Topics, sender: o.Sender, stages: o.Stages, split: o.Split,
		clock: o.Clock, metrics: o.Metrics, log: log, maxRecord: int(o.Limits.MaxEventBytes),
		endpoints: map[string]*endpoint{}, list: endpoints(), reports: make(chan struct{}, maxReports),
		unpacking: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		budget:    budget{most: int64(o.Config.MaxInFlight)}, reading: semaphore.NewWeighted(int64(o.Config.MaxBody)),
	}
	for _, e := range g.list {
		var err error
		if e.access, err = newAccess(e, o.Config, o.Loopback); err != nil {
			return nil, err
		}
		g.endpoints[e.path] = e
	}
	g.documents = map[string]http.Handler{
		"/livez": o.Health.Live(), "/readyz": o.Health.ReadyHandler(),
		"/openapi.json": document(OpenAPI()),
	}
	return g, nil
}

// Closed lists the endpoints that take nothing because nothing guards them.
func (g *Gateway) Closed() []string {
	var paths []string
	for _, e := range g.list {
		if e.access.closed() {
			paths = append(paths, e.path)
		}
	}
	return paths
}

// Unguarded lists the endpoints that take anybody's requests.
func (g *Gateway) Unguarded() []string {
	var paths []string
	for _, e := range g.list {
		if len(e.access.secrets) == 0 && e.access.insecure {
			paths = append(paths, e.path)
		}
	}
	return paths
}

// topic is the full name of one of the default topics. Where the configuration
// has no such input another of its own does: all of them take all types.
func (g *Gateway) topic(name string) string {
	short, first := strings.TrimPrefix(name, usualPrefix), ""
	for _, in := range g.topics.Inputs {
		if in.Name == short {
			first = short
			break
		}
		first = cmp.Or(first, in.Name)
	}
	return g.topics.Prefix + first
}

// usualPrefix is what the default topics of types begin with.
var usualPrefix = strings.TrimSuffix(event.TopicContext, "context")

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := g.clock()
	e := g.endpoints[r.URL.Path]
	if e == nil {
		status := g.serveDocument(w, r)
		g.metrics.Answered("other", status, g.clock().Sub(begun), 0, 0)
		return
	}
	x := &exchange{Gateway: g, endpoint: e, request: r, writer: w, begun: begun}
	x.holders.Store(1)
	g.metrics.Taking(int(g.running.Add(1)), g.budget.used.Load())
	status := http.StatusOK
	if err := x.serve(); err != nil {
		status = x.refuse(err)
	} else {
		x.answer()
	}
	x.release()
	g.metrics.Taking(int(g.running.Add(-1)), g.budget.used.Load())
	g.metrics.Answered(e.path, status, g.clock().Sub(begun), x.bytes, x.records)
}

// serve does what the endpoint does. A panic is an error: one request must not
// end the others.
func (x *exchange) serve() (err error) {
	defer x.endTurn()
	defer func() {
		switch trouble := recover(); trouble {
		case nil:
		case http.ErrAbortHandler:
			panic(trouble)
		default:
			err = fmt.Errorf("panic: %v\n%s", trouble, debug.Stack())
		}
	}()
	if x.request.Method != http.MethodPost {
		return problem(http.StatusMethodNotAllowed, reasonMethod, "%.20s: only POST is answered here", x.request.Method).with("Allow", http.MethodPost)
	}
	if x.running.Load() > int64(x.config.MaxRequests) {
		return busy("too many requests are under way")
	}
	if x.signed, err = x.admit(); err != nil {
		return err
	}
	return x.endpoint.take(x)
}

// answer says that all is acknowledged.
func (x *exchange) answer() {
	if x.endpoint.otlp != nil {
		x.writer.Header().Set("Content-Type", x.media)
		x.writer.WriteHeader(http.StatusOK)
		_, _ = x.writer.Write(x.answerTelemetry())
		return
	}
	x.writer.Header().Set("Content-Type", jsonType)
	_, _ = fmt.Fprintf(x.writer, "{\"success\":true,\"records\":%d}\n", x.records) // Segment's clients look for success
}

// refuse says why not, and returns the status.
func (x *exchange) refuse(err error) int {
	p := problemOf(err)
	fields := []zap.Field{zap.String("endpoint", x.endpoint.path), zap.Int("status", p.Status), zap.String("reason", p.Reason), zap.String("from", x.request.RemoteAddr)}
	switch {
	case p.Status == http.StatusInternalServerError:
		x.log.Error("a request failed", append(fields, zap.Error(err))...)
	case p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden:
		x.log.Warn("a request did not show whose it is", append(fields, append([]zap.Field{zap.String("detail", p.Detail)}, hinted(p.Hint)...)...)...)
	default: // what the detail quotes is for the sender: rules may hide it from everybody else
		x.log.Debug("a request was refused", append(fields, zap.String("field", p.Field))...)
	}
	if x.endpoint.otlp != nil && (x.media == protobufType || x.media == jsonType) {
		x.refuseTelemetry(p)
	} else {
		p.write(x.writer, x.endpoint.path)
	}
	return p.Status
}

// hinted is the field of a hint, where there is one.
func hinted(hint string) []zap.Field {
	if hint == "" {
		return nil
	}
	return []zap.Field{zap.String("hint", hint)}
}

func zapError(err error) []zap.Field {
	return append([]zap.Field{zap.Error(err)}, hinted(pipeline.HintOf(err))...)
}

// serveDocument answers what is read and not written.
func (g *Gateway) serveDocument(w http.ResponseWriter, r *http.Request) int {
	h := g.documents[r.URL.Path]
	switch {
	case h == nil:
		problem(http.StatusNotFound, reasonNotFound, "nothing is here").hinting("/openapi.json lists all endpoints").write(w, r.URL.Path)
		return http.StatusNotFound
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		problem(http.StatusMethodNotAllowed, reasonMethod, "%.20s: only GET is answered here", r.Method).with("Allow", "GET, HEAD").write(w, r.URL.Path)
		return http.StatusMethodNotAllowed
	}
	h.ServeHTTP(w, r)
	return http.StatusOK
}

func document(text []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		_, _ = w.Write(text)
	})
}

// Serve answers on a listener until ctx ends; then what is under way is
// finished first, for as long as a request may take.
func (g *Gateway) Serve(ctx context.Context, listener net.Listener) error {
	t := g.config.Timeouts
	server := &http.Server{
		Handler: g, MaxHeaderBytes: 64 << 10,
		ReadHeaderTimeout: t.Header.Std(), ReadTimeout: t.Body.Std(), IdleTimeout: t.Idle.Std(),
		WriteTimeout: slow(t.Body.Std() + t.Kafka.Std()),
		ErrorLog:     zap.NewStdLog(g.log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	if g.config.TLS.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(g.config.TLS.CertFile, g.config.TLS.KeyFile)
		if err != nil {
			return errors.Join(fmt.Errorf("ingest.tls: %w", err), listener.Close())
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), slow(t.Kafka.Std()))
		defer cancel()
		drained <- server.Shutdown(deadline)
	})
	defer stop()
	var err error
	if server.TLSConfig != nil {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("ingest.listen %s: %w", listener.Addr(), err)
	}
	if err := <-drained; err != nil {
		g.log.Warn("requests were broken off", zap.Error(err))
		_ = server.Close()
	}
	return nil
}

// Loopback says whether only this machine reaches what listens there.
func Loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
