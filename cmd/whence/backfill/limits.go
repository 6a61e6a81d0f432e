package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline"
)

// Limits is a transport that keeps within an API's limits and survives its
// failures. It waits as long as the API says:
//
//   - Retry-After, seconds or a date (RFC 9110, 10.2.3);
//   - X-RateLimit-Remaining and -Reset, a Unix time (GitHub, "Rate limits for the REST API");
//   - RateLimit-Remaining and -Reset, a Unix time (GitLab) or seconds from now (PagerDuty).
//
// A limit that says nothing is waited for a minute, and twice as long each time,
// as GitHub asks for its secondary limits. A server's error, a cut connection or
// no answer in two minutes is tried again after growing pauses. Only requests
// without a body go through it.
type Limits struct {
	Next  http.RoundTripper
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	Tell  func(why string, pause time.Duration) // nil: nobody

	until time.Time // no request before
}

const (
	mostFailures = 6
	mostLimited  = 12
	longestWait  = 2 * time.Hour
	answerTime   = 2 * time.Minute
	mostBody     = 64 << 20
)

// RoundTrip is http.RoundTripper's.
func (l *Limits) RoundTrip(r *http.Request) (*http.Response, error) {
	failures, limited := 0, 0
	for {
		if pause := l.until.Sub(l.Now()); pause > 0 {
			if err := l.wait(r.Context(), limitReached(r), pause); err != nil {
				return nil, err
			}
		}
		reply, err := l.once(r)
		var pause time.Duration
		var why string
		switch {
		case r.Context().Err() != nil:
			return nil, r.Context().Err()
		case err != nil || reply.StatusCode >= 500:
			if failures++; failures > mostFailures {
				return reply, err
			}
			pause, why = time.Second<<failures, fmt.Sprintf("%s: %v", r.URL.Host, err)
			if err == nil {
				why = r.URL.Host + " answered " + reply.Status
				if said, stated := l.stated(reply.Header); stated {
					pause = said
				}
			}
			why += fmt.Sprintf(" (try %d of %d)", failures, mostFailures+1)
		case isLimit(reply):
			if limited++; limited > mostLimited {
				return reply, nil
			}
			pause, why = time.Minute<<min(limited-1, 6), limitReached(r)
			if said, stated := l.stated(reply.Header); stated {
				pause = said
			}
		default:
			l.note(reply.Header)
			return reply, nil
		}
		if err := l.wait(r.Context(), why, pause); err != nil {
			return nil, &WaitedError{why, err}
		}
	}
}

func limitReached(r *http.Request) string { return r.URL.Host + ": the limit of requests is reached" }

// WaitedError is in the chain where a wait ended before its time.
type WaitedError struct {
	Why string // it waited
	Err error
}

func (e *WaitedError) Error() string { return e.Err.Error() }

func (e *WaitedError) Unwrap() error { return e.Err }

// once sends the request and reads the whole answer: a connection that is cut in
// the middle of it, or says nothing, is a failure like another.
func (l *Limits) once(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), answerTime, fmt.Errorf("no answer within %s", answerTime))
	defer cancel()
	reply, err := l.Next.RoundTrip(r.Clone(ctx))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(reply.Body, mostBody+1))
	_ = reply.Body.Close() // read to its end, or of no use
	if err == nil && len(body) > mostBody {
		err = fmt.Errorf("an answer of more than %d MiB", mostBody>>20)
	}
	reply.Body = io.NopCloser(bytes.NewReader(body))
	reply.ContentLength = int64(len(body))
	return reply, err
}

func (l *Limits) wait(ctx context.Context, why string, pause time.Duration) error {
	if pause > longestWait {
		return &pipeline.Error{Err: fmt.Errorf("%s, for another %s", why, pause.Round(time.Second)), Hint: "go on later with the same command"}
	}
	if l.Tell != nil {
		l.Tell(why, pause)
	}
	return l.Sleep(ctx, pause)
}

// isLimit tells a limit from what is forbidden.
func isLimit(reply *http.Response) bool {
	switch reply.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		if reply.Header.Get("Retry-After") != "" || reply.Header.Get("X-RateLimit-Remaining") == "0" {
			return true
		}
		body, _ := io.ReadAll(reply.Body)
		reply.Body = io.NopCloser(bytes.NewReader(body))
		return strings.Contains(string(body), "rate limit")
	}
	return false
}

// stated is how long the answer asks to wait.
func (l *Limits) stated(h http.Header) (time.Duration, bool) {
	if after := h.Get("Retry-After"); after != "" {
		if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
			return time.Duration(seconds) * time.Second, true
		}
		if at, err := http.ParseTime(after); err == nil {
			return max(at.Sub(l.Now()), 0), true
		}
	}
	if at, stated := l.reset(h); stated && remaining(h) == "0" {
		return max(at.Sub(l.Now()), 0), true
	}
	return 0, false
}

func remaining(h http.Header) string {
	if left := h.Get("X-RateLimit-Remaining"); left != "" {
		return left
	}
	return h.Get("RateLimit-Remaining")
}

// reset is when the limit begins anew. A second more, as clocks differ.
func (l *Limits) reset(h http.Header) (time.Time, bool) {
	text := h.Get("X-RateLimit-Reset")
	if text == "" {
		text = h.Get("RateLimit-Reset")
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || seconds < 0:
		return time.Time{}, false
	case seconds < 1_000_000_000:
		return l.Now().Add(time.Duration(seconds+1) * time.Second), true
	}
	return time.Unix(seconds+1, 0), true
}

// note remembers that the next request would be over the limit.
func (l *Limits) note(h http.Header) {
	if at, stated := l.reset(h); stated && remaining(h) == "0" {
		l.until = at
	}
}

// Sleep waits, or until ctx ends.
func Sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// SameHost is an http.Client's CheckRedirect: a token goes to no other host than
// the one that it is for.
func SameHost(next *http.Request, before []*http.Request) error {
	if first := before[0].URL; next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
		return fmt.Errorf("%s sends elsewhere, to %s: the token is not for that", first.Host, next.URL.Host)
	}
	if len(before) >= 10 {
		return errors.New("too many redirects")
	}
	return nil
}

// missing is an answer that something is not there, or not for this token.
type missing struct {
	err  error
	gone bool // it is not there
}

func (m missing) Error() string { return m.err.Error() }
func (m missing) Unwrap() error { return m.err }

// asMissing marks an error whose status says so.
func asMissing(status int, err error) error {
	switch status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return missing{err, status != http.StatusForbidden}
	case http.StatusUnauthorized:
		return &pipeline.Error{Err: err, Hint: "is the token right? --token-file FILE or --token-env VARIABLE names it"}
	}
	return err
}

func isMissing(err error) bool {
	var m missing
	return errors.As(err, &m)
}

// isGone says that an object of a list is not there any more, or not this part of
// it: the others are.
func isGone(err error) bool {
	var m missing
	return errors.As(err, &m) && m.gone
}
