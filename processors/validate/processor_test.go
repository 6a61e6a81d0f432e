package validate

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

// decodedBatch is a batch as decode leaves it, of events of a type and data each.
// Offsets have gaps, as those of compacted or transactional topics do.
func decodedBatch(t testing.TB, typesAndData ...string) *pipeline.Batch {
	t.Helper()
	b := &pipeline.Batch{Topic: "whence.delivery", TopicID: [16]byte{9}, Partition: 4}
	var events codec.Events
	var dec codec.Decoder
	for i := 0; i < len(typesAndData); i += 2 {
		r := pipeline.Record{Offset: int64(1000 + 7*i), Key: []byte("k"), Value: fmt.Appendf(nil,
			`{"specversion":"1.0","id":"%d","source":"s","type":"%s","time":"2026-11-23T14:05:00Z","data":%s}`, i/2, typesAndData[i], typesAndData[i+1])}
		b.Records = append(b.Records, r)
		if err := dec.Decode(&events, b.Provenance(len(b.Records)-1), r.Value, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.Facts, b.Observations, b.Others = events.Facts, events.Observations, events.Others
	return b
}

func validated(t testing.TB, b *pipeline.Batch) *pipeline.Batch {
	t.Helper()
	if err := New(Config{}).Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Facts) + len(b.Observations) + len(b.Others) + len(b.Dead); n != len(b.Records) {
		t.Fatalf("%d records have become %d", len(b.Records), n)
	}
	return b
}

const (
	behavior   = "io.whence.behavior.recorded"
	good       = `{"name":"n","service":"s","environment":"e"}`
	deployment = "io.whence.deployment.started"
	started    = `{"deployment_id":"d","service":"s","environment":"e","version":"v"}`
)

func TestWhatKeepsTheRulesPasses(t *testing.T) {
	b := validated(t, decodedBatch(t, behavior, good, deployment, started, "com.example", `{"anything":1}`, "com.example", `null`))
	if len(b.Dead) != 0 || len(b.Observations) != 1 || len(b.Facts) != 1 || len(b.Others) != 2 {
		t.Errorf("%+v", b.Dead)
	}
}

func TestOneOffenderLeavesTheOthersInOrder(t *testing.T) {
	b := validated(t, decodedBatch(t,
		behavior, good, behavior, `{"name":"n","service":"s"}`, deployment, `{"deployment_id":"d"}`, deployment, started,
		behavior, good, behavior, `{}`, deployment, started, "com.example", `1`))
	var kept []string
	for _, o := range b.Observations {
		kept = append(kept, o.ID)
	}
	for _, f := range b.Facts {
		kept = append(kept, f.ID)
	}
	if got := strings.Join(kept, " "); got != "0 4 3 6" {
		t.Errorf("%s are left", got)
	}
	var dead []string
	for _, d := range b.Dead {
		dead = append(dead, d.ID+" "+string(d.Reason)+" "+d.Detail)
		if d.TopicID != b.TopicID || d.Topic != b.Topic || !strings.Contains(string(d.Value), `"id":"`+d.ID+`"`) || d.Source != "s" || d.Time == 0 || string(d.Key) != "k" {
			t.Errorf("%+v", d)
		}
	}
	want := "2 missing_field data.service: missing\n1 missing_field data.environment: missing\n5 missing_field data.name: missing"
	if got := strings.Join(dead, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRulesByType(t *testing.T) {
	for _, c := range []struct {
		typ, data string
		reason    pipeline.Reason
		detail    string
	}{
		{behavior, `null`, pipeline.ReasonMissing, "data.name: missing"},
		{behavior, `{"name":"","service":"s","environment":"e"}`, pipeline.ReasonMissing, "data.name: missing"},
		{"io.whence.user.identified", `{"user":"u"}`, pipeline.ReasonMissing, "data.anonymous_id: missing"},
		{"io.whence.experiment.exposed", `{"experiment":"x","variant":"on","service":"s","environment":"e"}`, pipeline.ReasonMissing, "data.unit_id: missing"},
		{"io.whence.error.occurred", `{"service":"s","environment":"e"}`, pipeline.ReasonMissing, "data.fingerprint: missing"},
		{"io.whence.service.measured", `{"service":"s","environment":"e"}`, pipeline.ReasonMissing, "data.interval_ms: missing"},
		{deployment, `null`, pipeline.ReasonMissing, "data.deployment_id: missing"},
		{deployment, `7`, pipeline.ReasonWrongType, "data: must be an object, is the integer 7"},
		{deployment, `{"deployment_id":"d","service":"s","environment":"e","version":"v","phase":"dreaming"}`, pipeline.ReasonInvalid, `data.phase: "dreaming" is none of ["paused" "promoted" "aborted" "rolling_back"]`},
		{"io.whence.incident.opened", `{"incident_id":"i","service":"s","environment":"e","started_at":"noon"}`, pipeline.ReasonInvalid, `data.started_at: "noon" is no RFC 3339 time`},
		{"io.whence.incident.opened", `{"incident_id":"i","service":"s","environment":"e","ended_at":"1970-01-01T00:00:00Z"}`, pipeline.ReasonInvalid, `data.ended_at: "1970-01-01T00:00:00Z" is not within the years 2000 to 2100`},
		{"io.whence.maintenance.planned", `{"maintenance_id":"m","services":[],"environment":"e","from":"2026-11-23T14:05:00Z","to":"2026-11-23T15:05:00Z"}`, pipeline.ReasonMissing, "data.services: missing"},
		{"io.whence.experiment.started", `{"experiment":"x","hypothesis":"h","unit":"user","variants":[],"primary_metric":"m"}`, pipeline.ReasonMissing, "data.variants: missing"},
		{deployment, `{"deployment_id":"d","service":"s","environment":"e","version":"v","tenant":true}`, pipeline.ReasonWrongType, "data.tenant: must be a string or whole number, is the boolean true"},
		{"io.whence.experiment.started", `{"experiment":"x","hypothesis":"h","unit":"crowd","variants":[],"primary_metric":"m"}`, pipeline.ReasonInvalid, `data.unit: "crowd" is none of ["user" "session"]`},
	} {
		b := validated(t, decodedBatch(t, c.typ, c.data))
		if len(b.Dead) != 1 || b.Dead[0].Reason != c.reason || b.Dead[0].Detail != c.detail {
			t.Errorf("%s %s: %+v", c.typ, c.data, b.Dead)
		}
	}
}

func TestEveryRequiredFieldOfEveryTypeIsRequired(t *testing.T) {
	for _, typ := range event.Types() {
		b := validated(t, decodedBatch(t, typ.Name, `{}`))
		first := ""
		for _, f := range typ.Fields {
			if f.Required && first == "" {
				first = f.Name
			}
		}
		if len(b.Dead) != 1 || b.Dead[0].Detail != "data."+first+": missing" {
			t.Errorf("%s: %+v", typ.Name, b.Dead)
		}
	}
}

// A thousand observations that pass.
func BenchmarkProcess(b *testing.B) {
	var events []string
	for range 1000 {
		events = append(events, behavior, good)
	}
	p, batch := New(Config{}), decodedBatch(b, events...)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Process(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

// TestARecordOfSeveralEventsIsDeadAsAWhole: one that is stored too, or dead
// twice, is a batch that doesn't add up, which stops its partition.
func TestARecordOfSeveralEventsIsDeadAsAWhole(t *testing.T) {
	b := decodedBatch(t, behavior, good, behavior, good, deployment, `{"deployment_id":"d"}`, behavior, `{"name":"n"}`, "com.example", `1`)
	mine := b.Records[1].Offset
	for _, from := range []*event.Provenance{&b.Facts[0].Provenance, &b.Observations[2].Provenance, &b.Others[0].Provenance} {
		from.Offset = mine
	}
	b.Records = b.Records[:2]
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if stored, dead, dropped := b.Census(); stored != 1 || dead != 1 || dropped != 0 || b.Dead[0].Offset != mine || len(b.Facts)+len(b.Others) != 0 {
		t.Errorf("%d stored, %d dead, %d dropped: %+v", stored, dead, dropped, b.Dead)
	}
}
