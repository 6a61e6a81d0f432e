package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whencehq/whence/bench/generator"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
)

func TestASnapshotHasEveryFactThatATimelineReadsAndLeavesOutWhatNobodyCanRead(t *testing.T) {
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
		said("without payload", "build.finished", 7, `{"build_id":"b"}`),
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
	if _, ok := recalled["without payload"]; ok {
		t.Error("a build comes back, that no timeline reads")
	}
	if len(recalled) != 4 || logged.Len() != 1 {
		t.Errorf("%d facts, %d complaints", len(recalled), logged.Len())
	}
	for _, entry := range logged.All() {
		if fields := entry.ContextMap(); fields["source"] != "test" || fields["id"] != "unread" || fields["error"] == nil || fields["hint"] == nil {
			t.Errorf("%v", fields)
		}
	}
}

// revised says at which revisions contents were handed over.
func revised(t *testing.T, client *Client, after, upTo uint64) []string {
	t.Helper()
	var got []string
	must(t, client.Snapshot(t.Context(), zap.NewNop(), after, upTo, func(facts []event.Fact) {
		for _, f := range facts {
			got = append(got, fmt.Sprintf("%s %x at %d", f.ID, f.Hash, f.Revision))
		}
	}))
	slices.Sort(got)
	return got
}

func TestASnapshotHasEveryContentAtTheRevisionItWasFirstSaid(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	defer empty(t, client, factTables()...)
	const opened = "incident.opened"
	twin, other := said("twin", opened, 1, `{"incident_id":"a"}`), said("twin", opened, 2, `{"incident_id":"b"}`)
	early, late := said("early", opened, 3, `{"incident_id":"c"}`), said("late", opened, 4, `{"incident_id":"d"}`)
	begun := revision
	// One at a time, so that merges have not brought them together.
	tell(t, client, 1, twin, early, other, twin, late, early)
	at := func(f event.Fact, place uint64) string { return fmt.Sprintf("%s %x at %d", f.ID, f.Hash, begun+place) }
	sorted := func(all ...string) []string { slices.Sort(all); return all }
	for _, c := range []struct {
		after, upTo uint64
		want        []string
	}{
		{0, math.MaxUint64, sorted(at(twin, 1), at(early, 2), at(other, 3), at(late, 5))},
		{0, begun + 2, sorted(at(twin, 1), at(early, 2))},
		{begun + 2, math.MaxUint64, sorted(at(other, 3), at(late, 5))},
		{begun + 3, begun + 4, nil},
		{begun + 4, begun + 5, sorted(at(late, 5))},
	} {
		if got := revised(t, client, c.after, c.upTo); !slices.Equal(got, c.want) {
			t.Errorf("(%d, %d]:\n got %v\nwant %v", c.after-begun, c.upTo-begun, got, c.want)
		}
	}
}

func TestATimelineLoadedFromTheStoreAnswersAsOneFoldedFromTheLog(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	defer empty(t, client, factTables()...)
	const made = snapshotChunk + snapshotChunk/2
	g := generator.New(generator.Organisation(1, made))
	facts := slices.Clone(contents)
	for batch := range g.Facts(5000) {
		facts = append(facts, batch...)
	}
	for batch := range slices.Chunk(facts, 5000) {
		store(t, client, batch)
	}
	obs := g.Observations(300, generator.AnyTime)
	for second := range event.Millis(100) {
		for i, o := range []event.Observation{{}, {Version: "v2"}, {Version: "v3"}, {Instance: "i1"}} {
			o.Service, o.Environment, o.Time = []string{"shop", "cart"}[i%2], "production", event.MinTime+second*1000
			obs = append(obs, o)
		}
	}

	logged := timeline.New()
	logged.Apply(read(t, facts))
	want := make([]event.Enrichment, len(obs))
	logged.Enrich(obs, want)
	cut := revision - made/2
	loaded := timeline.New()
	for _, part := range [][2]uint64{{0, cut}, {cut, math.MaxUint64}} {
		must(t, client.Snapshot(t.Context(), zap.NewNop(), part[0], part[1], loaded.Apply))
	}
	loaded.Advance(revision)
	logged.Advance(revision)
	got := make([]event.Enrichment, len(obs))
	loaded.Enrich(obs, got)
	for i := range want {
		want[i].Revision = revision
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("it answers otherwise: %.2000s", d)
	}
	if loaded.Len() != logged.Len() || loaded.Conflicts() != logged.Conflicts() || loaded.Conflicts() == 0 {
		t.Errorf("%d facts with %d conflicts, of %d with %d", loaded.Len(), loaded.Conflicts(), logged.Len(), logged.Conflicts())
	}
}

// read is facts as they are read off the log, in an order that is not the
// store's.
func read(t *testing.T, facts []event.Fact) []event.Fact {
	t.Helper()
	var payloads codec.Payloads
	all := slices.Clone(facts)
	for i := range all {
		var err error
		all[i].Payload, err = payloads.Read(all[i].Type, []byte(all[i].Data))
		must(t, err)
	}
	slices.Reverse(all)
	return all
}

func TestASnapshotFromAnotherMachineIsPacked(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	defer empty(t, client, factTables()...)
	tell(t, client, 100, said("one", "incident.opened", 1, `{"incident_id":"i","more":"`+strings.Repeat("x", 3<<20)+`"}`))
	address := client.endpoint.Host
	transport := transport()
	packed := 0
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	client.endpoint.Host = "clickhouse.example:8123"
	client.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("compress") == "1" && r.Header.Get("Accept-Encoding") == "identity" {
			packed++
		}
		r = r.Clone(r.Context())
		r.Host = address // the engine asks strangers for a password
		return transport.RoundTrip(r)
	})
	if got := revised(t, client, 0, math.MaxUint64); len(got) != 1 || packed != 4 {
		t.Errorf("%v, %d results were packed", got, packed)
	}
	transport.CloseIdleConnections()
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers is a client of a server that answers every request in the same way.
func answers(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := Open(t.Context(), Config{URL: server.URL})
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestASnapshotThatBreaksOffIsNoSnapshot(t *testing.T) {
	block := nativeFacts(t)
	const text = "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		facts  int
		class  pipeline.Class
		says   string
	}{
		{"an error before the first block", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)")
		}, 0, pipeline.Fatal, "Unknown table"},
		{"an error between blocks", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(block)
			fmt.Fprintf(w, "\r\n__exception__\r\n0123456789abcdef\r\n%s\n%d 0123456789abcdef\r\n__exception__\r\n", text, len(text)+1)
		}, 1, pipeline.Retryable, text},
		{"an error of an older server", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(block)
			fmt.Fprint(w, text)
		}, 1, pipeline.Retryable, text},
		{"a block that is cut off in an answer that ends", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(block)
			w.Write(block[:len(block)-1])
		}, 1, pipeline.Retryable, "breaks off"},
		{"a block that is cut off between columns", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(block[:2])
		}, 0, pipeline.Retryable, "breaks off"},
		{"a connection that ends between blocks", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(block)
			must(t, http.NewResponseController(w).Flush())
			panic(http.ErrAbortHandler)
		}, 1, pipeline.Retryable, "breaks off"},
		{"another table's result", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("\x01\x01\x01a\x06String\x01b"))
		}, 0, pipeline.Retryable, "breaks off"},
	} {
		facts := 0
		err := answers(t, c.answer).Snapshot(t.Context(), zap.NewNop(), 0, math.MaxUint64, func(chunk []event.Fact) { facts += len(chunk) })
		if err == nil || pipeline.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) || facts != c.facts {
			t.Errorf("%s: %d facts, class %v, %v", c.name, facts, pipeline.ClassOf(err), err)
		}
	}
	client := answers(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(block) })
	if got := revised(t, client, 0, math.MaxUint64); len(got) != 4 {
		t.Errorf("of four whole results there is %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := client.Snapshot(ctx, zap.NewNop(), 0, math.MaxUint64, func([]event.Fact) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// nativeFacts is a block with one fact, as a server sends it.
func nativeFacts(t *testing.T) []byte {
	t.Helper()
	rows := newSnapshotRows(zap.NewNop())
	for _, w := range []struct {
		of   *words
		text string
	}{{&rows.source, "test"}, {&rows.typ, event.Prefix + "incident.opened"}} {
		w.of.index.Append(w.text)
		w.of.raw.AppendKey(0)
	}
	rows.id.Append("one")
	rows.data.Append(`{"incident_id":"i"}`)
	rows.time, rows.hash, rows.revision = append(rows.time, 1), append(rows.hash, 2), append(rows.revision, 3)
	var input proto.Input
	for _, column := range rows.columns {
		input = append(input, proto.InputColumn{Name: "c", Data: column.Data.(proto.ColInput)})
	}
	var encoded proto.Buffer
	must(t, proto.Block{Columns: len(input), Rows: 1}.EncodeRawBlock(&encoded, 0, input))
	return encoded.Buf
}
