package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whencehq/whence/pipeline"
)

// answers is a transport that gives one answer after the other, the last again.
type answers struct {
	all   []func() (*http.Response, error)
	asked int
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	answer := a.all[min(a.asked, len(a.all)-1)]
	a.asked++
	return answer()
}

func answer(status int, body string, headers ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func TestLimitsAreWaitedForAsLongAsTheyAreStated(t *testing.T) {
	fine := answer(200, "[]")
	reset := fmt.Sprint(until.Add(10 * time.Minute).Unix())
	for name, c := range map[string]struct {
		before []func() (*http.Response, error)
		want   time.Duration
		status int
	}{
		"nothing is wrong":                   {nil, 0, 200},
		"Retry-After in seconds":             {[]func() (*http.Response, error){answer(429, "", "Retry-After", "7")}, 7 * time.Second, 200},
		"Retry-After as a date":              {[]func() (*http.Response, error){answer(503, "", "Retry-After", until.Add(90*time.Second).Format(http.TimeFormat))}, 90 * time.Second, 200},
		"GitHub's limit":                     {[]func() (*http.Response, error){answer(403, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset)}, 10*time.Minute + time.Second, 200},
		"GitHub's secondary limit, twice":    {[]func() (*http.Response, error){answer(403, "secondary rate limit"), answer(429, "")}, 3 * time.Minute, 200},
		"GitLab's limit":                     {[]func() (*http.Response, error){answer(429, "", "RateLimit-Remaining", "0", "RateLimit-Reset", reset)}, 10*time.Minute + time.Second, 200},
		"PagerDuty's, in seconds from now":   {[]func() (*http.Response, error){answer(429, "", "ratelimit-remaining", "0", "ratelimit-reset", "12")}, 13 * time.Second, 200},
		"errors, after growing pauses":       {[]func() (*http.Response, error){answer(500, ""), answer(502, ""), answer(500, "")}, 14 * time.Second, 200},
		"what is forbidden is not asked for": {[]func() (*http.Response, error){answer(403, `{"message":"Resource not accessible"}`)}, 0, 403},
		"nor what is not there":              {[]func() (*http.Response, error){answer(404, "")}, 0, 404},
		"a server that stays broken":         {[]func() (*http.Response, error){answer(500, ""), answer(500, ""), answer(500, ""), answer(500, ""), answer(500, ""), answer(500, ""), answer(500, "")}, 126 * time.Second, 500},
	} {
		c2 := &clock{at: until}
		limits := &Limits{Next: &answers{all: append(c.before, fine)}, Now: c2.now, Sleep: c2.sleep}
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.test/", nil)
		reply, err := limits.RoundTrip(request)
		if err != nil || reply.StatusCode != c.status || c2.total() != c.want {
			t.Errorf("%s: %v, %v, waited %s, want %d after %s", name, reply, err, c2.total(), c.status, c.want)
		}
	}
}

func TestTheLastRequestWithinALimitIsFollowedByAPause(t *testing.T) {
	c := &clock{at: until}
	next := &answers{all: []func() (*http.Response, error){answer(200, "[]", "RateLimit-Remaining", "0", "RateLimit-Reset", "30"), answer(200, "[]")}}
	limits := &Limits{Next: next, Now: c.now, Sleep: c.sleep}
	for range 2 {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.test/", nil)
		if _, err := limits.RoundTrip(request); err != nil {
			t.Fatal(err)
		}
	}
	if c.total() != 31*time.Second {
		t.Errorf("waited %s", c.total())
	}
}

func TestAWaitOfHoursOrAnEndOfPatienceIsAnErrorThatSaysWhatToDo(t *testing.T) {
	c := &clock{at: until}
	limits := &Limits{Next: &answers{all: []func() (*http.Response, error){answer(429, "", "Retry-After", "100000")}}, Now: c.now, Sleep: c.sleep}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.test/", nil)
	if _, err := limits.RoundTrip(request); err == nil || pipeline.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request = request.WithContext(ctx)
	if _, err := limits.RoundTrip(request); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("%v", err)
	}
}

// silent is a connection on which no answer comes until the second request.
type silent struct{ asked int }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.asked++; s.asked == 1 {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	return answer(200, "[]")()
}

func TestWhoNeverAnswersIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &silent{}
		limits := &Limits{Next: next, Now: time.Now, Sleep: Sleep}
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.test/", nil)
		reply, err := limits.RoundTrip(request)
		if err != nil || reply.StatusCode != 200 || next.asked != 2 {
			t.Errorf("%v, asked %d times", err, next.asked)
		}
	})
}

func TestATokenGoesToNoOtherHost(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host is shown %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	p := &player{}
	p.handler = func(*http.Request) (any, http.Header) { return 0, nil }
	p.troubles = []func(http.ResponseWriter){func(w http.ResponseWriter) {
		w.Header().Set("Location", elsewhere.URL+"/repos/acme/shop")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}
	p.asked = []string{"before"} // the trouble comes first
	o := p.play(t)
	o.Client.CheckRedirect = SameHost
	state, _ := OpenState("", "", from, until)
	err := (&Run{Plan: planOf(t, GitHub, o), State: state}).Do(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the token is not for that") {
		t.Error(err)
	}
}

func TestAWaitNamesTheServiceItsErrorAndTheTriesThatAreLeft(t *testing.T) {
	refused := fmt.Errorf("dial tcp 127.0.0.1:1: connect: connection refused")
	var told []string
	stopping := func(context.Context, time.Duration) error { return context.Canceled }
	limits := &Limits{
		Next: &answers{all: []func() (*http.Response, error){func() (*http.Response, error) { return nil, refused }}},
		Now:  time.Now, Sleep: stopping, Tell: func(why string, _ time.Duration) { told = append(told, why) },
	}
	request, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = limits.RoundTrip(request)
	var waited *WaitedError
	why := "127.0.0.1:1: " + refused.Error() + " (try 1 of 7)"
	if !errors.As(err, &waited) || waited.Why != why || !errors.Is(err, context.Canceled) {
		t.Errorf("stopped with %v", err)
	}
	if len(told) != 1 || told[0] != why {
		t.Errorf("told %q", told)
	}
}
