package backfill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/source"
)

// Record is an object of an API, dressed as its tool's webhook.
type Record struct {
	Source  string // as in schemas/source
	Headers []pipeline.Header
	Body    []byte
}

// dressed makes a record: of pairs of a header's name and value, the body last.
func dressed(from string, body map[string]any, headers ...string) (Record, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return Record{}, fmt.Errorf("an object of %s: %w", from, err)
	}
	r := Record{Source: from, Body: text, Headers: []pipeline.Header{
		{Key: source.Header, Value: []byte(from)}, {Key: source.Backfill, Value: []byte("1")}, {Key: "content-type", Value: []byte("application/json")},
	}}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, pipeline.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r, nil
}

// Options are what a back-fill is of.
type Options struct {
	URL    string // of the server; empty: the tool's own
	Login  string // of who the token belongs to, for Jira and Jenkins
	Token  string
	Names  []string // repositories, projects, jobs
	Client *http.Client
	// From and Until bound the time of what happened: [From, Until).
	From, Until time.Time
}

// within says whether something at that time is asked for.
func (o *Options) within(at time.Time) bool { return !at.Before(o.From) && at.Before(o.Until) }

// Plan is what is read of a tool.
type Plan []Section

// Section is one list of an API.
type Section struct {
	Name string // acme/shop deployments
	// Read hands over page by page, from a cursor that a page before named; empty:
	// from the beginning. It stops with the error that turn returns.
	Read func(ctx context.Context, cursor string, turn func(Page) error) error
}

// Page is some records, and where to go on after them.
type Page struct {
	Records []Record
	Cursor  string
}

// page collects the records of one.
type page struct {
	Page
	err error
}

// add dresses an object. The first that can't be is the page's error.
func (p *page) add(from string, body map[string]any, headers ...string) {
	r, err := dressed(from, body, headers...)
	if err != nil {
		if p.err == nil {
			p.err = err
		}
		return
	}
	p.Records = append(p.Records, r)
}

// turn hands the page over with its cursor.
func (p *page) turn(cursor string, turn func(Page) error) error {
	if p.err != nil {
		return p.err
	}
	p.Cursor = cursor
	return turn(p.Page)
}
