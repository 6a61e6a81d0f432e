package rules_test

import (
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/rules"
	"github.com/whencehq/whence/processors/validate"
)

// What rules cost an observation: none at all, those of another type, one that
// asks for an attribute, one that reads data, one that changes it.
func BenchmarkRules(b *testing.B) {
	for name, text := range map[string]string{
		"none":         `rules: []`,
		"another type": `rules: [{name: a, types: [com.acme.x], drop: true}]`,
		"attribute":    `rules: [{name: a, when: event.service == "cart", drop: true}]`,
		"data":         `rules: [{name: a, when: event.data.user == "bob", drop: true}]`,
		"hash":         `rules: [{name: a, hash: [event.data.user]}]`,
		"record":       `rules: [{name: a, on: record, when: 'headers[?"x-acme"] == optional.of("x")', drop: true}]`,
		"body":         `rules: [{name: a, on: record, when: body.data.user == "bob", drop: true}]`,
	} {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			set, err := rules.Parse("own.yaml", []byte(text), rules.Options{Key: key})
			if err != nil {
				b.Fatal(err)
			}
			chain := set.Around(decode.New(decode.Config{}), validate.New(validate.Config{}), nil)
			records := make([]pipeline.Record, 1000)
			for i := range records {
				records[i] = structured(clicked)
				records[i].Offset = int64(i)
			}
			for b.Loop() {
				batch := &pipeline.Batch{Topic: "whence.behavior", To: 1000, Records: append([]pipeline.Record(nil), records...)}
				for _, stage := range chain {
					if err := stage.Process(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				if len(batch.Observations) != 1000 {
					b.Fatal(batch.Dead)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		})
	}
}
