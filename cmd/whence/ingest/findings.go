package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/whencehq/whence/pipeline"
)

// Split cuts a report of a source that is too large for a record: chunks of at
// most limit bytes that are reports of the same kind, each with some of the
// results, and headers that say which part of which scan it is. It reads r from
// its beginning, in bounded memory, and says the same of the same report.
type Split func(kind string, r io.ReadSeeker, limit int, emit func(chunk []byte, headers map[string]string) error) error

const (
	// maxReports bounds the temporary files.
	maxReports = 4
	// chunksInFlight is how many parts of a report are on their way at once.
	chunksInFlight = 8
	// mostPart is how large a part of a cut report is: every worker keeps the fact
	// that it becomes, and reads it in one piece.
	mostPart = 256 << 10
)

// findings takes a report. One that fits a record is written as it came; of a
// larger one no more than a few parts are in memory at any time.
func (x *exchange) findings() error {
	control := http.NewResponseController(x.writer)
	// Reports are large; the server's own deadlines are for other bodies. They
	// can't be set on what is no connection, as in tests.
	deadline := x.begun.Add(x.config.Timeouts.Findings.Std())
	_ = control.SetReadDeadline(deadline)
	_ = control.SetWriteDeadline(deadline.Add(x.config.Timeouts.Findings.Std()))

	limit := x.config.MaxFindings
	if x.request.ContentLength > int64(limit) {
		return tooLarge(int64(limit))
	}
	if x.packing == "zstd" { // it holds a window of megabytes for as long as the report comes
		leave, err := x.enterReport()
		if err != nil {
			return err
		}
		defer leave()
	}
	in, release, err := unpacked(arriving{x.request.Body}, x.packing)
	if err != nil {
		return err
	}
	defer release()
	head, err := x.readAll(io.LimitReader(in, int64(x.maxRecord-overhead)+1), x.guess(), int64(x.maxRecord))
	if err != nil {
		return err
	}
	contentType := x.request.Header.Get("Content-Type")
	lines := x.media == linesType // the pipeline reads documents
	if len(head) <= x.maxRecord-overhead && !lines {
		x.bytes = int64(len(head))
		if err := x.takeTurn(len(head)); err != nil {
			return err
		}
		return x.single(x.record(head, contentType))
	}
	if x.split == nil {
		return tooLarge(int64(x.maxRecord - overhead))
	}
	if len(head) <= x.maxRecord-overhead {
		x.bytes = int64(len(head))
		return x.inParts(bytes.NewReader(head), jsonType)
	}
	if x.packing != "zstd" {
		leave, err := x.enterReport()
		if err != nil {
			return err
		}
		defer leave()
	}
	report, err := x.spool(io.MultiReader(bytes.NewReader(head), in))
	if err != nil {
		return err
	}
	defer report.Close()
	if lines {
		contentType = jsonType
	}
	return x.inParts(report, contentType)
}

// enterReport takes one of the places for large reports.
func (x *exchange) enterReport() (leave func(), err error) {
	select {
	case x.reports <- struct{}{}:
		return func() { <-x.reports }, nil
	default:
		return nil, busy("other large reports are being read")
	}
}

// guess is how long the beginning of a report will be, -1 where nothing says.
func (x *exchange) guess() int64 {
	if x.packing != "" || x.request.ContentLength < 0 {
		return -1
	}
	return min(x.request.ContentLength, int64(x.maxRecord))
}

// spool puts a report into a temporary file that has no name any more: nothing
// is left behind, however this process ends.
func (x *exchange) spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "whence-report-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		x.bytes, err = io.Copy(f, io.LimitReader(r, int64(x.config.MaxFindings)+1))
	}
	if err == nil && x.bytes > int64(x.config.MaxFindings) {
		err = tooLarge(int64(x.config.MaxFindings))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// inParts cuts a report twice: first every part is checked, and only when all
// are well the first is written, so that a report is taken whole or not at all.
func (x *exchange) inParts(report io.ReadSeeker, contentType string) error {
	if err := x.hold(int64(chunksInFlight * x.maxRecord)); err != nil {
		return err
	}
	topic := x.topic(x.endpoint.source.Topic)
	part := 0
	err := x.eachPart(report, contentType, func(r pipeline.Record) error {
		part++
		if err := x.takeTurn(len(r.Value)); err != nil {
			return err
		}
		defer x.endTurn()
		_, err := x.check(topic, []pipeline.Record{r}, func(int) string { return fmt.Sprintf("part %d", part) })
		return err
	})
	if err != nil {
		return err
	}
	var d delivery
	flight := make(chan struct{}, chunksInFlight)
	err = x.eachPart(report, contentType, func(r pipeline.Record) error {
		flight <- struct{}{}
		x.send(&d, topic, r, func() { <-flight })
		return nil
	})
	if waited := x.wait(&d); waited != nil {
		return waited
	}
	return err
}

func (x *exchange) eachPart(report io.ReadSeeker, contentType string, do func(pipeline.Record) error) error {
	var failed error
	err := x.split(x.endpoint.source.Name, report, min(mostPart, x.maxRecord-overhead), func(chunk []byte, headers map[string]string) error {
		var more []pipeline.Header
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			more = append(more, pipeline.Header{Key: name, Value: []byte(headers[name])})
		}
		failed = do(x.record(chunk, contentType, more...))
		return failed
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		var unread *os.PathError
		if errors.As(err, &unread) {
			return err // the file, and not what is in it
		}
		return problem(http.StatusBadRequest, reasonMalformed, "the report can't be read: %v", err)
	}
	return nil
}

// slow is more than any other request may take.
func slow(t time.Duration) time.Duration { return t + 30*time.Second }
