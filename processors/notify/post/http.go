// Package post sends messages over HTTP: to webhooks, and to Slack and what is
// compatible with it.
//
// A redirect is not followed, for it would take a secret elsewhere, and no error
// has an address in it, for an incoming webhook's address is a secret; nor what a
// target says from where it repeats its address or a token.
package post

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/whencehq/whence/processors/notify"
)

// NewClient makes a client for outlets: without redirects.
func NewClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do sends a body and returns the answer's, which has a status below 300. Its
// errors are fit for a log.
func do(ctx context.Context, client *http.Client, address string, header http.Header, body []byte) ([]byte, error) {
	text, failure := exchange(ctx, client, address, header, body)
	if failure == nil {
		return text, nil
	}
	if told := hide(failure.Error(), address, header.Get("Authorization")); told != failure.Error() {
		failure.Err = errors.New(told)
	}
	return nil, failure
}

func exchange(ctx context.Context, client *http.Client, address string, header http.Header, body []byte) ([]byte, *notify.Failure) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, &notify.Failure{Err: errors.New("the address is no URL")}
	}
	request.Header = header
	request.Header.Set("User-Agent", "whence")
	reply, err := client.Do(request)
	if err != nil {
		return nil, unreachable(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
	if err != nil {
		return nil, unreachable(err)
	}
	return text, refused(reply, text)
}

// unreachable is an error without the address. Where nobody was reached, nothing
// was taken.
func unreachable(err error) *notify.Failure {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var dialing *net.OpError
	return &notify.Failure{Err: fmt.Errorf("no answer: %w", err), Unsure: !errors.As(err, &dialing) || dialing.Op != "dial"}
}

// refused is what a status means. What is wrong with a message is said by 400,
// 413 and 422; all else (a token that has ended, a server that is down) gets better
// when somebody looks after it.
func refused(reply *http.Response, text []byte) *notify.Failure {
	if reply.StatusCode < 300 {
		return nil
	}
	failure := &notify.Failure{Err: fmt.Errorf("HTTP status %s%s", reply.Status, said(text)), After: retryAfter(reply.Header)}
	switch reply.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		failure.Message = true
	case http.StatusBadGateway, http.StatusGatewayTimeout: // somebody behind it may have taken it
		failure.Unsure = true
	}
	return failure
}

// said is the first line of an answer, for the log.
func said(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if line == "" {
		return ""
	}
	return ": " + line
}

// longest is the longest pause that a target may ask for.
const longest = time.Hour

// retryAfter reads the header, in seconds or as a date; a date counts from the
// answer's own.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 {
		return min(time.Duration(min(seconds, longest.Seconds())*float64(time.Second)), longest)
	}
	until, err := http.ParseTime(text)
	now, err2 := http.ParseTime(h.Get("Date"))
	if err != nil || err2 != nil {
		return 0
	}
	return min(max(0, until.Sub(now)), longest)
}
