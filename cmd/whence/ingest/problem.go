package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/whencehq/whence/schemas/codec"
)

// Problem is why a request is refused: an RFC 9457 problem, and an error.
type Problem struct {
	Type     string `json:"type"` // urn:whence:problem: and the reason
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"` // the path
	// Reason classes problems, as the reasons of dead letters do; Field is what
	// is wrong, where it is one field: data.service, [3].time, query.branch.
	Reason string `json:"reason"`
	Field  string `json:"field,omitempty"`
	Hint   string `json:"hint,omitempty"`

	header     http.Header // to answer with
	retryAfter int         // seconds; 0: the same again would be refused again
}

func (p *Problem) Error() string { return p.Detail }

// The reasons that are not those of a dead letter.
const (
	reasonNotFound       = "not_found"
	reasonMethod         = "method"
	reasonQuery          = "query"
	reasonHeader         = "header"
	reasonUnauthorized   = "unauthorized"
	reasonNoSecret       = "no_secret"
	reasonContentType    = "content_type"
	reasonEncoding       = "content_encoding"
	reasonTooLarge       = "too_large"
	reasonMalformed      = "malformed"
	reasonIncomplete     = "incomplete"
	reasonBusy           = "busy"
	reasonUnacknowledged = "unacknowledged"
	reasonInternal       = "internal"
)

func problem(status int, reason, format string, args ...any) *Problem {
	return &Problem{Status: status, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

func (p *Problem) at(field string) *Problem {
	p.Field = field
	return p
}

func (p *Problem) hinting(hint string) *Problem {
	p.Hint = hint
	return p
}

func (p *Problem) with(header, text string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(header, text)
	return p
}

// again says that the sender should try once more, and when.
func (p *Problem) again(seconds int) *Problem {
	p.retryAfter = seconds
	return p.with("Retry-After", strconv.Itoa(seconds))
}

func busy(what string) *Problem {
	return problem(http.StatusTooManyRequests, reasonBusy, "%s: send it again later", what).again(1)
}

func tooLarge(limit int64) *Problem {
	return problem(http.StatusRequestEntityTooLarge, reasonTooLarge, "the body has more than %d bytes, unpacked", limit)
}

// problemOf is err as a problem. What is none is a failure of ours, and what it
// says is for the log.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if f := codec.FaultOf(err); f != nil {
		return faulty(string(f.Reason), f.Detail)
	}
	return problem(http.StatusInternalServerError, reasonInternal, "the gateway failed on this request")
}

// faulty is the problem of a body that would be a dead letter.
func faulty(reason, detail string) *Problem {
	status := http.StatusBadRequest
	switch codec.Reason(reason) {
	case codec.TooLarge:
		status = http.StatusRequestEntityTooLarge
	case codec.ContentType:
		status = http.StatusUnsupportedMediaType
	}
	p := problem(status, reason, "%s", strings.ToValidUTF8(detail, "\ufffd"))
	// Details begin with where it is: `data.service: missing`.
	if field, _, ok := strings.Cut(p.Detail, ": "); ok && !strings.ContainsAny(field, " \"") {
		p.Field = field
	}
	return p
}

// write answers with p.
func (p *Problem) write(w http.ResponseWriter, path string) {
	p.Type, p.Title, p.Instance = "urn:whence:problem:"+p.Reason, http.StatusText(p.Status), path
	for name, values := range p.header {
		w.Header()[name] = values
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // who hung up has hung up
}
