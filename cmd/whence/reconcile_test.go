package main

import (
	"testing"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/kafka"
)

func TestFactsArePendingUntilTheyAreClosedWhateverIsTrimmedOffTheLog(t *testing.T) {
	at := kafka.Revision
	for name, c := range map[string]struct {
		log          kafka.ContextTopic
		known        clickhouse.Corrections
		pending, end uint64
	}{
		"nothing was ever said":           {kafka.ContextTopic{}, clickhouse.Corrections{Epoch: 1}, 0, 0},
		"all is closed":                   {kafka.ContextTopic{End: 10}, clickhouse.Corrections{Epoch: 1, Cursor: at(1, 9)}, 0, at(1, 9)},
		"nothing is closed":               {kafka.ContextTopic{End: 10}, clickhouse.Corrections{Epoch: 1}, 10, at(1, 9)},
		"more is closed than was asked":   {kafka.ContextTopic{End: 10}, clickhouse.Corrections{Epoch: 1, Cursor: at(1, 12)}, 0, at(1, 9)},
		"a log trimmed to its end":        {kafka.ContextTopic{Start: 5616, End: 5616}, clickhouse.Corrections{Epoch: 1, Cursor: at(1, 5000)}, 615, at(1, 5615)},
		"facts after the trim":            {kafka.ContextTopic{Start: 5616, End: 5620}, clickhouse.Corrections{Epoch: 1, Cursor: at(1, 5000)}, 619, at(1, 5619)},
		"a new log without facts":         {kafka.ContextTopic{}, clickhouse.Corrections{Epoch: 2, Cursor: at(1, 7), Former: 3, LastFormer: at(1, 12)}, 3, at(1, 12)},
		"a new log with facts":            {kafka.ContextTopic{End: 4}, clickhouse.Corrections{Epoch: 2, Cursor: at(1, 7), Former: 3, LastFormer: at(1, 12)}, 7, at(2, 3)},
		"a new log that no worker met":    {kafka.ContextTopic{Start: 1, End: 4}, clickhouse.Corrections{Cursor: at(1, 7), Former: 3, LastFormer: at(1, 12)}, 6, at(1, 12)},
		"a new log, all before is closed": {kafka.ContextTopic{}, clickhouse.Corrections{Epoch: 2, Cursor: at(1, 7)}, 0, 0},
	} {
		s := reconcileStatusOf(c.log, c.known)
		if s.PendingFacts != c.pending || s.ContextEnd != c.end || s.Quiet != (c.pending == 0) {
			t.Errorf("%s: %d facts are pending up to %d, quiet %v; want %d up to %d", name, s.PendingFacts, s.ContextEnd, s.Quiet, c.pending, c.end)
		}
	}
}
