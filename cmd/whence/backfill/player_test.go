package backfill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a time that passes by sleeping.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	slept []time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, pause time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.slept = c.at.Add(pause), append(c.slept, pause)
	return ctx.Err()
}

func (c *clock) total() (sum time.Duration) {
	for _, pause := range c.slept {
		sum += pause
	}
	return sum
}

var (
	until = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	from  = until.Add(-90 * 24 * time.Hour)
)

func at(days float64) string {
	return from.Add(time.Duration(days * 24 * float64(time.Hour))).Format(time.RFC3339)
}

type object = map[string]any

// player plays an API. Before an answer come the troubles that are due.
type player struct {
	t        *testing.T
	clock    *clock
	handler  func(r *http.Request) (any, http.Header)
	troubles []func(http.ResponseWriter) // each once
	asked    []string
	mu       sync.Mutex
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.URL.RequestURI())
	var trouble func(http.ResponseWriter)
	if len(p.troubles) > 0 && len(p.asked)%3 == 2 {
		trouble, p.troubles = p.troubles[0], p.troubles[1:]
	}
	p.mu.Unlock()
	if trouble != nil {
		trouble(w)
		return
	}
	answer, headers := p.handler(r)
	for name, values := range headers {
		w.Header()[name] = values
	}
	if status, wrong := answer.(int); wrong {
		http.Error(w, `{"message":"not here"}`, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		p.t.Error(err)
	}
}

// play starts it, and returns options to read it with.
func (p *player) play(t *testing.T) Options {
	t.Helper()
	p.t, p.clock = t, &clock{at: until}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	transport := &http.Transport{DisableKeepAlives: true} // no goroutine is left, and a cut connection is no other's
	return Options{URL: server.URL, Token: "secret", From: from, Until: until, Client: &http.Client{
		Transport: &Limits{Next: transport, Now: p.clock.now, Sleep: p.clock.sleep},
	}}
}

// everyTrouble are the limits and failures of the APIs.
func everyTrouble(clock func() time.Time) []func(http.ResponseWriter) {
	status := func(code int, headers ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			http.Error(w, `{"message":"no"}`, code)
		}
	}
	return []func(http.ResponseWriter){
		status(http.StatusInternalServerError),
		status(http.StatusTooManyRequests, "Retry-After", "30"),
		func(w http.ResponseWriter) { // cut in the middle of an answer
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`[{"id":`))
			panic(http.ErrAbortHandler)
		},
		func(w http.ResponseWriter) { // GitHub's primary limit
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(clock().Add(20*time.Minute).Unix(), 10))
			http.Error(w, `{"message":"API rate limit exceeded"}`, http.StatusForbidden)
		},
		func(w http.ResponseWriter) { // and its secondary one, which says nothing
			http.Error(w, `{"message":"You have exceeded a secondary rate limit"}`, http.StatusForbidden)
		},
		status(http.StatusBadGateway),
		status(http.StatusTooManyRequests, "RateLimit-Remaining", "0", "RateLimit-Reset", "40"), // PagerDuty
		status(http.StatusServiceUnavailable, "Retry-After", "5"),
	}
}

// part is a page of a list, with the link to the next.
func part(r *http.Request, all []object) (any, http.Header) {
	query := r.URL.Query()
	number, _ := strconv.Atoi(query.Get("page"))
	size, _ := strconv.Atoi(query.Get("per_page"))
	number, size = max(number, 1), max(size, 30)
	begin, end := min((number-1)*size, len(all)), min(number*size, len(all))
	h := http.Header{}
	if end < len(all) {
		query.Set("page", strconv.Itoa(number+1))
		next := url.URL{Scheme: "https", Host: "elsewhere.test", Path: r.URL.Path, RawQuery: query.Encode()}
		h.Set("Link", fmt.Sprintf(`<%s>; rel="next", <%[1]s>; rel="last"`, next.String()))
	}
	if all = all[begin:end]; all == nil {
		all = []object{}
	}
	return all, h
}

// all is what a plan publishes.
func all(t *testing.T, plan Plan) []Record {
	t.Helper()
	state, err := OpenState("", "", from, until)
	if err != nil {
		t.Fatal(err)
	}
	var records []Record
	run := &Run{Plan: plan, State: state, Publish: func(_ context.Context, some []Record) error {
		records = append(records, some...)
		return nil
	}}
	if err := run.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	return records
}

// told is a record in a line: its event and what of the body is asked for.
func told(t *testing.T, r Record, paths ...string) string {
	t.Helper()
	var body object
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatal(err)
	}
	var line []string
	for _, h := range r.Headers {
		if strings.HasPrefix(h.Key, "x-") {
			line = append(line, string(h.Value))
		}
	}
	for _, path := range paths {
		var at any = body
		for _, name := range strings.Split(path, ".") {
			inner, _ := at.(object)
			at = inner[name]
		}
		if at != nil {
			line = append(line, fmt.Sprint(at))
		}
	}
	return strings.Join(line, " ")
}

func lines(t *testing.T, records []Record, paths ...string) []string {
	t.Helper()
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = told(t, r, paths...)
	}
	return all
}
