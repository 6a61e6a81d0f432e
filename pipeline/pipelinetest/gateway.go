package pipelinetest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Gateway stands before a ClickHouse and does to requests what networks,
// balancers and overloaded servers do.
type Gateway struct {
	Addr string

	upstream *url.URL
	plain    http.Handler

	mu     sync.Mutex
	choose func(*http.Request) Treatment
	healed chan struct{} // closed by Heal: who hangs goes
	done   map[Treatment]int
	late   sync.WaitGroup
}

// Treatment is what happens to one request.
type Treatment uint8

// The treatments.
const (
	Pass   Treatment = iota // it goes through
	Refuse                  // it is answered with status 503
	Hang                    // it is taken and never answered, and goes nowhere
	Lose                    // it is carried out, and the answer is lost
	Delay                   // it is never answered, and carried out when its sender has long given up
)

// zombieDelay is how long a Delayed request is held back after its sender is
// gone.
const zombieDelay = time.Second

// NewGateway serves on an address of its own, until the test ends.
func NewGateway(t testing.TB, upstream string) *Gateway {
	t.Helper()
	g := &Gateway{upstream: &url.URL{Scheme: "http", Host: upstream}, healed: make(chan struct{}), done: map[Treatment]int{}}
	proxy := httputil.NewSingleHostReverseProxy(g.upstream)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { drop(w) } // as if the server were gone
	g.plain = proxy
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.Addr = listener.Addr().String()
	server := &http.Server{Handler: g}
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { g.Heal(); _ = server.Close(); g.late.Wait() })
	return g
}

// Treat chooses what happens to requests from now on. The choice is made by many at
// once.
func (g *Gateway) Treat(choose func(*http.Request) Treatment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.choose = choose
}

// Heal lets everything through again. Requests that hang are dropped.
func (g *Gateway) Heal() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.choose = nil
	close(g.healed)
	g.healed = make(chan struct{})
}

// AwaitLate waits until every Delayed request was carried out.
func (g *Gateway) AwaitLate() { g.late.Wait() }

// Done is how many requests were given each treatment so far.
func (g *Gateway) Done() map[Treatment]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.done)
}

// Inserts applies a treatment to inserts of rows into tables whose names begin so:
// their SQL stands in the URL, and the body is the rows.
func Inserts(table string, do Treatment) func(*http.Request) Treatment {
	return func(r *http.Request) Treatment {
		if strings.HasPrefix(r.URL.Query().Get("query"), "INSERT INTO "+table) {
			return do
		}
		return Pass
	}
}

// Statements applies a treatment to requests whose body is SQL that begins in one of
// these ways, as what a server is to write by itself does: INSERT INTO … SELECT.
func Statements(do Treatment, beginnings ...string) func(*http.Request) Treatment {
	return func(r *http.Request) Treatment {
		if r.URL.Query().Has("query") {
			return Pass
		}
		statement := beginning(r)
		for _, b := range beginnings {
			if strings.HasPrefix(statement, b) {
				return do
			}
		}
		return Pass
	}
}

// beginning is the first bytes of a request's body, without white space and comments
// before the statement. The body is whole afterwards, and no more of it was waited for.
func beginning(r *http.Request) string {
	const most = 2048
	body := bufio.NewReaderSize(r.Body, most)
	first, _ := body.Peek(most) // fewer where the body is shorter, or breaks off: who reads it on meets that
	r.Body = struct {
		io.Reader
		io.Closer
	}{body, r.Body}
	statement := strings.TrimSpace(string(first))
	for strings.HasPrefix(statement, "--") {
		_, statement, _ = strings.Cut(statement, "\n")
		statement = strings.TrimSpace(statement)
	}
	return statement
}

// Everything applies a treatment to all requests.
func Everything(do Treatment) func(*http.Request) Treatment {
	return func(*http.Request) Treatment { return do }
}

// ServeHTTP treats one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	treatment, healed := g.next(r)
	switch treatment {
	case Pass:
		g.plain.ServeHTTP(w, r)
	case Refuse:
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	case Hang:
		wait(r, healed)
		drop(w)
	case Lose:
		if body, err := io.ReadAll(r.Body); err == nil {
			g.forward(r, body)
		}
		drop(w)
	case Delay:
		defer g.late.Done()
		body, err := io.ReadAll(r.Body)
		wait(r, healed)
		drop(w)
		if err == nil {
			time.Sleep(zombieDelay)
			g.forward(r, body)
		}
	}
}

func (g *Gateway) next(r *http.Request) (Treatment, <-chan struct{}) {
	g.mu.Lock()
	choose, healed := g.choose, g.healed
	g.mu.Unlock()
	treatment := Pass
	if choose != nil {
		treatment = choose(r) // which may wait for the body
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.healed != healed {
		treatment = Pass // meanwhile
	}
	g.done[treatment]++
	if treatment == Delay {
		g.late.Add(1)
	}
	return treatment, healed
}

// wait returns when the sender has given up, or the gateway is healed.
func wait(r *http.Request, healed <-chan struct{}) {
	// The server notices a sender that goes only when the body is read.
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-r.Context().Done():
	case <-healed:
	}
}

// forward carries a request out for a sender who will not hear of it.
func (g *Gateway) forward(r *http.Request, body []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	target := *g.upstream
	target.Path, target.RawQuery = r.URL.Path, r.URL.RawQuery
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header = r.Header.Clone()
	if answer, err := http.DefaultClient.Do(request); err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
}

// drop closes the connection without a word.
func drop(w http.ResponseWriter) {
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = connection.Close()
	}
}
