package tap_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/whencehq/whence/cmd/whence/tap"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

var plain = tap.Style{Time: same, Kind: same, Dead: same, Faint: same}

func same(text string) string { return text }

// batch is a fact, an observation with its context, a letter and a dropped record.
func batch() *pipeline.Batch {
	b := &pipeline.Batch{Topic: "whence.delivery", To: 4}
	for i := range int64(4) {
		b.Records = append(b.Records, pipeline.Record{Offset: i, Value: []byte("v\x1b[31m"), Timestamp: event.MinTime})
	}
	b.Facts = []event.Fact{{Event: event.Event{Type: "io.whence.flag.changed", Source: "/evil\x1b[2J", ID: "1"}, Provenance: b.Provenance(2), Data: `{"flag":"f"}`}}
	b.Observations = []event.Observation{{Event: event.Event{Type: "io.whence.behavior.recorded", ID: "2"}, Provenance: b.Provenance(0), OK: event.True}}
	b.Enrichments = []event.Enrichment{{DeploymentID: "d1", DeploymentAgeMS: event.NoAge, Flags: []event.Pair{{Key: "f", Value: "{}"}}}}
	b.Bury(1, pipeline.ReasonMalformed, "not JSON\r\x07")
	b.Dropped = []pipeline.Drop{{Offset: 3, Rule: "pings"}}
	return b
}

func TestEventsAreToldInTheOrderOfTheirRecords(t *testing.T) {
	var kinds []string
	for _, p := range tap.Events(batch()) {
		kinds = append(kinds, p.Kind)
	}
	if got := strings.Join(kinds, " "); got != "observation dead fact dropped" {
		t.Error(got)
	}
}

func TestALineIsOneLineMovesNoCursorAndFitsTheTerminal(t *testing.T) {
	all := append(tap.Events(batch()), tap.Records(batch())...)
	for i := range all {
		for _, width := range []int{0, 80} {
			line := tap.Line(&all[i], plain, width)
			if strings.ContainsAny(line, "\x1b\r\n\x07") || width > 0 && utf8.RuneCountInString(line) > width {
				t.Errorf("width %d: %q", width, line)
			}
		}
	}
}

func TestALetterWithoutATimeIsToldWhenItWasTakenAndWhyOnce(t *testing.T) {
	for detail, want := range map[string]string{
		`time: "yesterday" is no time`: `  time: "yesterday" is no time`, "data.at: not RFC 3339": "  time: data.at: not RFC 3339",
	} {
		b := batch()
		b.Bury(1, pipeline.ReasonTime, detail)
		b.Dead[1].Type, b.Dead[1].ID = "io.whence.flag.changed", "9"
		line := ""
		for _, p := range tap.Events(b) {
			if p.Kind == tap.Dead && p.Reason == "time" {
				line = tap.Line(&p, plain, 0)
			}
		}
		if !strings.HasPrefix(line, "2000-01-01T") || !strings.HasSuffix(line, want) {
			t.Errorf("%q", line)
		}
	}
}

func TestTheJSONOfWhatPassesHasItsContextAndItsReason(t *testing.T) {
	for kind, want := range map[string]string{
		tap.Observation: `"context":{"deployment_id":"d1","flags":{"f":"{}"}}`, tap.Dead: `"reason":"malformed"`, tap.Dropped: `"rule":"pings"`, tap.Fact: `"data":{"flag":"f"}`,
	} {
		for _, p := range tap.Events(batch()) {
			if p.Kind != kind {
				continue
			}
			text, err := tap.JSON(&p)
			if err != nil || !json.Valid(text) || !strings.Contains(string(text), want) {
				t.Errorf("%s: %v %s", kind, err, text)
			}
		}
	}
}
