package clickhouse

import (
	"math"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whencehq/whence/schemas/event"
)

func TestASnapshotHasEveryFactThatWasAcceptedAndLeavesOutWhatNobodyCanRead(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	defer empty(t, client, factTables()...) // what nobody can read is no other test's matter
	const opened = "incident.opened"
	nested := func(depth int) string { return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) }
	unread := said("unread", opened, 4, `{"incident_id":"i4"}`)
	unread.Data = "not JSON"
	other := said("other", opened, 5, `{"incident_id":"i5"}`)
	other.Type = "com.example"
	facts := []event.Fact{
		said("plain", opened, 1, `{"incident_id":"i1","service":"s","environment":"e"}`),
		said("a deep CDEvent", opened, 2, `{"incident_id":"i2","service":"s","environment":"e","cdevent":`+nested(64)+`}`),
		said("under a greater limit", opened, 3, `{"incident_id":"i3","service":"s","environment":"e","more":`+nested(900)+`}`),
		said("by older rules", opened, 6, `{"incident_id":"i6","started_at":"0001-01-01T00:00:00Z"}`),
		unread, other,
	}
	tell(t, client, len(facts), facts...)

	core, logged := observer.New(zap.ErrorLevel)
	recalled := map[string]event.Fact{}
	must(t, client.Snapshot(t.Context(), zap.New(core), 0, math.MaxUint64, func(chunk []event.Fact) {
		for _, f := range chunk {
			recalled[f.ID] = f
		}
	}))
	for _, want := range []int{0, 1, 2, 3} {
		f := recalled[facts[want].ID]
		incident, ok := f.Payload.(*event.Incident)
		if !ok || incident.IncidentID != facts[want].EntityID || f.Hash != facts[want].Hash || f.Revision == 0 || f.Time != facts[want].Time {
			t.Errorf("%s comes back as %.300v", facts[want].ID, f)
		}
	}
	if len(recalled) != 4 || logged.Len() != 2 {
		t.Errorf("%d facts, %d complaints", len(recalled), logged.Len())
	}
	for _, entry := range logged.All() {
		if fields := entry.ContextMap(); fields["source"] != "test" || fields["id"] != "unread" && fields["id"] != "other" || fields["error"] == nil || fields["hint"] == nil {
			t.Errorf("%v", fields)
		}
	}
}
