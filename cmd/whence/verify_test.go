package main

import (
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline/oracle"
)

func TestTheHintOfVerifySaysWhatHelpsAgainstWhatWasFound(t *testing.T) {
	differs := func(area, column string) oracle.Column { return oracle.Column{Area: area, Name: column, Differing: 1} }
	for name, c := range map[string]struct {
		report oracle.Report
		want   string
	}{
		"a wrong column":   {oracle.Report{Columns: []oracle.Column{differs(oracle.Observations, "owner")}}, "whence rebuild --from T --to T"},
		"a wrong minute":   {oracle.Report{Columns: []oracle.Column{differs(oracle.Vitals, "row")}}, "whence rebuild --from T --to T"},
		"a lost row":       {oracle.Report{Columns: []oracle.Column{differs(oracle.Vitals, "row"), differs(oracle.Observations, "row")}}, "whence replay --topic TOPIC"},
		"a lost fact":      {oracle.Report{Columns: []oracle.Column{differs(oracle.Facts, "row")}}, "whence replay --topic TOPIC"},
		"a gap":            {oracle.Report{Troubles: []oracle.Trouble{{Trouble: "gap", Topic: "whence.behavior", Partition: 3, Key: "77"}}}, "whence replay --topic whence.behavior --from OFFSET reads again what Kafka still has; the ledger is right up to offset 77 of partition 3"},
		"rows of no facts": {oracle.Report{Troubles: []oracle.Trouble{{Trouble: "ahead"}}}, "delete them, then whence replay"},
	} {
		if got := remedy(&c.report); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
