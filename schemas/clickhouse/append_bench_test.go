package tables

import (
	"fmt"
	"testing"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/whencehq/whence/schemas/event"
)

// sample makes n observations as a topic carries them: three measurements and
// a user action in turn, a dozen services, each row enriched.
func sample(n int) ([]event.Observation, []event.Enrichment) {
	observations, enrichments := make([]event.Observation, n), make([]event.Enrichment, n)
	rollouts, changes := []string{"deployment-4711"}, []string{"change-1", "change-2"}
	flags := []event.Pair{{Key: "new-checkout", Value: `{"on":50}`}}
	for i := range n {
		o := &observations[i]
		*o = event.Observation{
			Event: event.Event{
				ID: fmt.Sprintf("event-%08d", i), Source: fmt.Sprintf("mesh/%d", i%3), Type: "io.whence.service.measured",
				Time: event.MinTime + event.Millis(i), Hash: uint64(i+1) * 0x9e3779b97f4a7c15,
			},
			Provenance: event.Provenance{ReceivedAt: event.MinTime + event.Millis(i), Topic: "whence.measurements", Offset: int64(i)},
			Name:       "service.measured", Service: fmt.Sprintf("service-%d", i%12), Environment: "production",
			Instance: fmt.Sprintf("pod-%d", i%120), Version: "v42",
			DurationMS: event.Unknown, Value: event.Unknown, Weight: event.Unknown,
			Caller: fmt.Sprintf("service-%d", i%12), Callee: fmt.Sprintf("service-%d", i%7),
			IntervalMS: 60000, Requests: 1200, Errors: 3, SuccessRatio: 0.9975, LatencyMS: 12.5 + float64(i%100),
			LatencyP99MS: 80, CPURatio: 0.4, MemoryRatio: 0.6,
		}
		if i%4 == 0 {
			o.Type, o.Name, o.User, o.Session, o.OK = "io.whence.behavior.recorded", "checkout", fmt.Sprint("user-", i%5000), fmt.Sprint("session-", i%9000), event.True
			o.DurationMS, o.Attributes = 230.5, []event.Pair{{Key: "plan", Value: "pro"}, {Key: "country", Value: "de"}}
			o.Caller, o.Callee = "", ""
			for _, f := range []*float64{&o.IntervalMS, &o.Requests, &o.Errors, &o.SuccessRatio, &o.LatencyMS, &o.LatencyP99MS, &o.CPURatio, &o.MemoryRatio} {
				*f = event.Unknown
			}
		}
		enrichments[i] = event.Enrichment{
			DeploymentID: "deployment-4711", DeployedVersion: "v42", PreviousVersion: "v41", DeploymentAgeMS: int64(i),
			RolloutIDs: rollouts, RolloutPercent: 25, ChangeIDs: changes, Flags: flags,
			Owner: "team-checkout", Tier: "1", CanonicalService: o.Service, Revision: 1<<40 | 99,
		}
	}
	return observations, enrichments
}

// An observation, to all columns of a block of 4,096.
func BenchmarkAppendObservation(b *testing.B) {
	observations, enrichments := sample(4096)
	block := NewObservations()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		block.Append(&observations[i], &enrichments[i])
		if i++; i == len(observations) {
			i = 0
			block.Reset()
		}
	}
}

// The same and its share of the encoding in Native format.
func BenchmarkEncodeObservation(b *testing.B) {
	observations, enrichments := sample(4096)
	block := NewObservations()
	var buf proto.Buffer
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		block.Append(&observations[i], &enrichments[i])
		if i++; i == len(observations) {
			i = 0
			buf.Reset()
			input := block.Input()
			if err := (proto.Block{Columns: len(input), Rows: block.Rows()}).EncodeRawBlock(&buf, 0, input); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(buf.Buf))/float64(len(observations)), "bytes/row")
			block.Reset()
		}
	}
}
