package observe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health is what /livez and /readyz say. A worker that waits for ClickHouse
// to come back is alive and ready to take up its work again: neither is a
// reason to restart it, so liveness fails only when the worker says so.
type Health struct {
	mu      sync.Mutex
	waiting string // why not ready; empty: ready
	broken  error
}

// NewHealth begins alive and not ready.
func NewHealth() *Health { return &Health{waiting: "starting"} }

// Ready says that events are being taken.
func (h *Health) Ready() { h.set("", nil) }

// Waiting says why none are.
func (h *Health) Waiting(why string) { h.set(why, nil) }

// Broken says that only a restart or an operator can help.
func (h *Health) Broken(err error) { h.set(err.Error(), err) }

func (h *Health) set(waiting string, broken error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting, h.broken = waiting, broken
}

func (h *Health) readiness() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting
}

func (h *Health) liveness() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken == nil {
		return ""
	}
	return h.broken.Error()
}

// Live answers /livez: 200, or 503 with what is broken.
func (h *Health) Live() http.Handler { return probe(h.liveness) }

// ReadyHandler answers /readyz: 200, or 503 with what is waited for.
func (h *Health) ReadyHandler() http.Handler { return probe(h.readiness) }

// Server answers /metrics, /livez and /readyz.
type Server struct {
	http     *http.Server
	listener net.Listener
	stopped  chan struct{}
}

// Option changes what a Server answers.
type Option func(*http.ServeMux)

// WithPprof adds /debug/pprof when on. Its profiles slow a worker and show
// what it holds, so it is off by default even on loopback.
func WithPprof(on bool) Option {
	return func(mux *http.ServeMux) {
		if !on {
			return
		}
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
}

// Serve listens on address (host:port; port 0 picks a free one) until Close.
func Serve(address string, m *Metrics, h *Health, opts ...Option) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("observe.listen %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry}))
	mux.Handle("GET /livez", h.Live())
	mux.Handle("GET /readyz", h.ReadyHandler())
	for _, opt := range opts {
		opt(mux)
	}
	s := &Server{
		http:     &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
		listener: listener,
		stopped:  make(chan struct{}),
	}
	go func() {
		defer close(s.stopped)
		_ = s.http.Serve(listener) // always an error; Close is the only one that can be
	}()
	return s, nil
}

func probe(trouble func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if why := trouble(); why != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, why)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	}
}

// Addr is host:port as bound.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close answers what is under way, until ctx ends, and stops.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = s.http.Close() // a scrape that hangs must not hold up a drain
	}
	<-s.stopped
	return err
}
