package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline"
)

var errUnreachable = errors.New("unreachable")

// byLine is a Split of reports that are lines.
func byLine(kind string, r io.ReadSeeker, _ int, emit func([]byte, map[string]string) error) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	all, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	part := 0
	for lines := range strings.SplitSeq(strings.TrimSuffix(string(all), "\n"), "\n") {
		if lines == "bad" {
			return errors.New("line 2 is no result")
		}
		part++
		if err := emit([]byte(lines), map[string]string{"whence-scan": kind, "whence-part": fmt.Sprint(part)}); err != nil {
			return err
		}
	}
	return nil
}

func splitting(o *Options) {
	readable(o)
	o.Split = byLine
}

func TestASmallReportIsARecordAsItCame(t *testing.T) {
	w := gatewayWith(t, splitting)
	sent := w.takes("/findings/sarif?repository=acme/shop", []byte(`{"version":"2.1.0"}`), "Content-Type", "application/sarif+json")
	if len(sent) != 1 || sent[0].Topic != "whence.audit" || string(sent[0].Value) != `{"version":"2.1.0"}` || !strings.HasSuffix(headersOf(sent[0]), "whence-repository: acme/shop") {
		t.Errorf("%+v", sent)
	}
}

func TestALargeReportIsCutAndLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	w := gatewayWith(t, splitting)
	var report strings.Builder
	for i := range 40 {
		fmt.Fprintf(&report, "%d%s\n", i, strings.Repeat("x", 100_000))
	}
	sent := w.takes("/findings/trivy?service=shop", gzipped(t, []byte(report.String())), "Content-Type", jsonType, "Content-Encoding", "gzip")
	if len(sent) != 40 || !strings.HasPrefix(string(sent[39].Value), "39x") {
		t.Fatalf("%d records", len(sent))
	}
	if got := headersOf(sent[39]); !strings.HasSuffix(got, "whence-service: shop\nwhence-part: 40\nwhence-scan: trivy") {
		t.Error(got)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
	if used := w.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are left over", used)
	}
}

type refusing struct{ text string }

func (refusing) Name() string { return "refuses" }
func (r refusing) Process(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		if strings.HasPrefix(string(b.Records[i].Value), r.text) {
			b.Bury(i, pipeline.ReasonMissing, "results[0].ruleId: missing")
		}
	}
	return nil
}

func TestAReportIsTakenWholeOrNotAtAll(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 600_000)+"\n", 3)
	w := gatewayWith(t, splitting)
	if p := w.refuses(http.StatusBadRequest, "/findings/grype", []byte(long+"bad\n"), "Content-Type", jsonType); !strings.Contains(p.Detail, "line 2 is no result") {
		t.Error(p)
	}
	w = gatewayWith(t, func(o *Options) { splitting(o); o.Stages = []pipeline.Processor{refusing{"y"}} })
	if p := w.refuses(http.StatusBadRequest, "/findings/grype", []byte(long+"y\n"), "Content-Type", jsonType); p.Detail != "part 4: results[0].ruleId: missing" {
		t.Error(p)
	}
	w = gatewayWith(t, splitting)
	w.broker.failure = errUnreachable
	w.refuses(http.StatusServiceUnavailable, "/findings/grype", []byte(long), "Content-Type", jsonType)
}

func TestReportsAreBounded(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { splitting(o); o.Config.MaxFindings = 2 << 20 })
	long := []byte(strings.Repeat("x", 3<<20))
	w.refuses(http.StatusRequestEntityTooLarge, "/findings/sarif", long, "Content-Type", jsonType)
	w.refuses(http.StatusRequestEntityTooLarge, "/findings/sarif", gzipped(t, long), "Content-Type", jsonType, "Content-Encoding", "gzip")
	for range maxReports {
		w.reports <- struct{}{}
	}
	if p := w.refuses(http.StatusTooManyRequests, "/findings/sarif", long[:1<<20+1], "Content-Type", jsonType); p.Reason != reasonBusy {
		t.Error(p)
	}
	unsplit := gatewayWith(t, readable)
	unsplit.refuses(http.StatusRequestEntityTooLarge, "/findings/sarif", long[:1<<20+1], "Content-Type", jsonType)
}

func TestLinesOfEventsAreCutHoweverFewTheyAre(t *testing.T) {
	w := gatewayWith(t, splitting)
	sent := w.takes("/findings/ocsf", []byte("{\"class_uid\":2002}\n{\"class_uid\":2003}\n"), "Content-Type", "application/x-ndjson")
	if len(sent) != 2 || string(sent[1].Value) != `{"class_uid":2003}` || !strings.Contains(headersOf(sent[1]), "content-type: application/json\n") {
		t.Errorf("%+v", sent)
	}
}

func TestAMessageOfASegmentClientIsARecord(t *testing.T) {
	w := gatewayWith(t, readable)
	for _, path := range []string{"/v1/track", "/v1/batch"} {
		sent := w.takes(path, []byte(`{"event":"checkout"}`), "Content-Type", jsonType)
		if len(sent) != 1 || sent[0].Topic != "whence.behavior" || !strings.HasPrefix(headersOf(sent[0]), "whence-source: track\n") {
			t.Errorf("%+v", sent)
		}
	}
}

func TestALargeBatchOfMessagesIsCutAndKeepsWhatStandsBeside(t *testing.T) {
	w := gatewayWith(t, readable)
	var messages []string
	for i := range 300 {
		messages = append(messages, fmt.Sprintf(`{"event":"e%d","properties":{"html":"<b>&%s"}}`, i, strings.Repeat("x", 10_000)))
	}
	sent := w.takes("/v1/batch", []byte(`{"sentAt":"2026-11-26T14:05:00Z","batch":[`+strings.Join(messages, ",")+`],"context":{"app":{"version":"4.2.0"}}}`), "Content-Type", jsonType)
	next := 0
	for _, m := range sent {
		var part struct {
			SentAt  string
			Context struct{ App struct{ Version string } }
			Batch   []struct{ Event string }
		}
		if err := json.Unmarshal(m.Value, &part); err != nil || part.SentAt == "" || part.Context.App.Version != "4.2.0" || len(m.Value) > 1<<20 {
			t.Fatalf("%v %d: %.200s", err, len(m.Value), m.Value)
		}
		for _, message := range part.Batch {
			if message.Event != fmt.Sprintf("e%d", next) {
				t.Fatalf("%s comes for e%d", message.Event, next)
			}
			next++
		}
	}
	if next != 300 || len(sent) > 4 {
		t.Errorf("%d messages in %d records", next, len(sent))
	}
	w.refuses(http.StatusRequestEntityTooLarge, "/v1/track", []byte(`{"event":"`+strings.Repeat("x", 1<<20)+`"}`), "Content-Type", jsonType)
	w.refuses(http.StatusRequestEntityTooLarge, "/v1/batch", []byte(`{"batch":[{},{"event":"`+strings.Repeat("x", 1<<20)+`"}]}`), "Content-Type", jsonType)
	w.refuses(http.StatusBadRequest, "/v1/batch", []byte(`[`+strings.Repeat("0,", 1<<20)+`0]`), "Content-Type", jsonType)
}

func TestABatchWithMoreBesideItThanInItIsRefused(t *testing.T) {
	w := gatewayWith(t, readable)
	body := `{"context":{"a":"` + strings.Repeat("x", 900_000) + `"},"batch":[` + strings.TrimSuffix(strings.Repeat(`{"type":"track","event":"e","userId":"u"},`, 50_000), ",") + `]}`
	if answer := w.post("/v1/batch", []byte(body), "Content-Type", jsonType); answer.Code != 413 || len(w.broker.messages()) != 0 {
		t.Errorf("%d %.200s", answer.Code, answer.Body)
	}
}

// TestASmallReportOfWindowsIsTaken: a large one is, for what cuts it knows the mark.
func TestASmallReportOfWindowsIsTaken(t *testing.T) {
	w := gatewayWith(t, readable)
	report := "\xef\xbb\xbf" + `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[{"ruleId":"a"}]}]}`
	if sent := w.takes("/findings/sarif", []byte(report), "Content-Type", jsonType); len(sent) != 1 || string(sent[0].Value) != report {
		t.Errorf("%+v", sent)
	}
}
