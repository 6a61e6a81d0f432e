package oracle_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline/oracle"
)

// world is one section of testdata/rules.txt. All worlds are computed at once,
// so each has a prefix that its names begin with: none meets another's.
type world struct {
	title, prefix string
	facts         []map[string]any // rows of whence.facts
	observations  []map[string]any // rows of whence.observations
	want          []string         // of each observation
}

func TestEveryRuleComputesWhatIsWrittenByHand(t *testing.T) {
	query := engineQuery(t)
	worlds := readWorlds(t)
	empty(t, query)
	insertWorlds(t, query, worlds)
	got := computed(t, compute(t, query, oracle.Scope{}))
	for _, w := range worlds {
		t.Run(w.title, func(t *testing.T) {
			for i, o := range w.observations {
				id := o["id"].(string)
				if have := said(w, o, got[id]); have != w.want[i] {
					t.Errorf("at %s of %s\nhave %s\nwant %s", o["time"], o["service"], have, w.want[i])
				}
			}
		})
	}
}

func TestTheComparisonFindsEachColumnThatDiffersAndNoneThatDoesNot(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	insertWorlds(t, query, readWorlds(t))
	o := compute(t, query, oracle.Scope{})
	want := []string{"canonical_service", "change_ids", "deployed_version", "deployment_age_ms", "deployment_id", "experiments",
		"finding_ids", "flags", "incident_ids", "incident_severity", "owner", "previous_version", "rollout_ids", "rollout_percent",
		"tier", "any column"}
	if diff := cmp.Diff(want, names(compare(t, o))); diff != "" {
		t.Errorf("nothing was enriched, and these columns differ:\n%s", diff)
	}
	enrich(t, o, query)
	for _, c := range compare(t, o) {
		t.Errorf("all was enriched by the oracle, and %s differs in %d rows, such as %+v", c.Name, c.Differing, c.Examples)
	}
	for _, few := range []uint64{1, 7} {
		for _, c := range compare(t, compute(t, query, oracle.Scope{SpanRows: few})) {
			t.Errorf("in spans of %d rows, %s differs in %d rows, such as %+v", few, c.Name, c.Differing, c.Examples)
		}
	}
}

func TestARowThatIsGoneIsFoundWhereItsHistoryIsLeft(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	insert(t, query, "whence.observations", []map[string]any{{"source": "hand", "id": "here", "type": "io.whence.behavior.recorded", "service": "shop", "time": "2024-05-01 10:00:00.000", "canonical_service": "shop"}})
	insert(t, query, "whence.observations_history", []map[string]any{
		{"source": "hand", "id": "here", "service": "shop", "time": "2024-05-01 10:00:00.000"},
		{"source": "hand", "id": "gone", "service": "shop", "environment": "prod", "name": "buy", "time": "2024-05-01 10:20:00.000"},
		{"source": "hand", "id": "dropped", "service": "shop", "time": "2024-05-02 10:20:00.000"}, // a day that is kept no longer
	})
	want := []oracle.Column{{Area: oracle.Observations, Name: "row", Differing: 1, Examples: []oracle.Example{
		{Row: "hand gone prod/shop buy 2024-05-01 10:20:00.000", Expected: "its history", Stored: "absent"}}}}
	if diff := cmp.Diff(want, compare(t, compute(t, query, oracle.Scope{}))); diff != "" {
		t.Error(diff)
	}
}

func TestAScopeBoundsWhatIsCompared(t *testing.T) {
	query := engineQuery(t)
	empty(t, query)
	at := func(clock string) time.Time {
		t.Helper()
		at, err := time.Parse(time.DateTime, "2024-05-01 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	var wrong []map[string]any // an hour before noon, each minute one row that says another service than its own
	for minute := range 60 {
		wrong = append(wrong, map[string]any{"source": "hand", "id": fmt.Sprint(minute), "type": "io.whence.behavior.recorded", "service": "shop",
			"time": at("11:00:30").Add(time.Duration(minute) * time.Minute).Format(time.DateTime)})
	}
	insert(t, query, "whence.observations", wrong)
	found := func(scope oracle.Scope) int {
		for _, c := range compare(t, compute(t, query, scope)) {
			if c.Name == "canonical_service" {
				return c.Differing
			}
		}
		return 0
	}
	for _, c := range []struct {
		name  string
		scope oracle.Scope
		want  int
	}{
		{"everything", oracle.Scope{}, 60},
		{"from", oracle.Scope{From: at("11:50:00")}, 10},
		{"to", oracle.Scope{To: at("11:05:00")}, 5},
		{"the minutes that it cuts through", oracle.Scope{From: at("11:10:45"), To: at("11:12:15")}, 3},
		{"nothing", oracle.Scope{From: at("13:00:00")}, 0},
	} {
		if have := found(c.scope); have != c.want {
			t.Errorf("%s: %d rows, want %d", c.name, have, c.want)
		}
	}
	some := found(oracle.Scope{Share: 0.5})
	if some < 15 || some > 45 || some != found(oracle.Scope{Share: 0.5}) {
		t.Errorf("a half: %d rows of 60, and another time %d", some, found(oracle.Scope{Share: 0.5}))
	}
}

// enrich writes the expected columns into the stored rows, as a later revision.
func enrich(t testing.TB, o *oracle.Oracle, query oracle.Query) {
	columns := "deployment_id, deployed_version, previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids, " +
		"flags, incident_ids, incident_severity, finding_ids, owner, tier, canonical_service, experiments"
	_, err := o.Expected(t.Context(), "INSERT INTO whence.observations (source, id, type, name, service, environment, time, version, instance, "+
		"experiment, variant, content_hash, topic, partition, offset, user, ok, duration_ms, revision, "+columns+") SELECT o.source, o.id, o.type, o.name, o.service, "+
		"o.environment, o.time, o.version, o.instance, o.experiment, o.variant, o.content_hash, o.topic, o.partition, o.offset, o.user, o.ok, o.duration_ms, 1, e."+
		strings.ReplaceAll(columns, ", ", ", e.")+
		" FROM whence.observations AS o INNER JOIN whence_oracle.expected AS e ON e.id = o.id AND e.source = o.source")
	if err != nil {
		t.Fatal(err)
	}
}

// compute is dropped with the test.
func compute(t *testing.T, query oracle.Query, scope oracle.Scope) *oracle.Oracle {
	t.Helper()
	o, err := oracle.Compute(t.Context(), query, scope)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func compare(t *testing.T, o *oracle.Oracle) []oracle.Column {
	t.Helper()
	columns, err := o.Compare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

func names(columns []oracle.Column) (names []string) {
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return names
}

func insertWorlds(t *testing.T, query oracle.Query, worlds []*world) {
	var facts, observations []map[string]any
	for _, w := range worlds {
		facts = append(facts, w.facts...)
		observations = append(observations, w.observations...)
	}
	// Any order gives the same answers.
	rand.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
	insert(t, query, "whence.facts", facts)
	insert(t, query, "whence.observations", observations)
}

// computed is the oracle's rows by the observation's id.
func computed(t *testing.T, o *oracle.Oracle) map[string]map[string]any {
	body, err := o.Expected(t.Context(), "SELECT * EXCEPT (row, said, hashes) FROM whence_oracle.expected FORMAT JSONEachRow")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]map[string]any{}
	for line := range bytes.Lines(body) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		rows[row["id"].(string)] = row
	}
	return rows
}

// said writes an expected row as rules.txt does.
func said(w *world, observation, row map[string]any) string {
	if row == nil {
		return "no row"
	}
	var words []string
	for _, column := range slices.Sorted(maps.Keys(row)) {
		switch column {
		case "source", "id", "stated_service", "environment", "time", "name":
			continue
		case "canonical_service":
			if row[column] == observation["service"] {
				continue
			}
		case "flags":
			for flag, rules := range row[column].(map[string]any) {
				row[column].(map[string]any)[flag] = json.RawMessage(rules.(string))
			}
		}
		text, err := json.Marshal(row[column])
		if err != nil {
			return err.Error()
		}
		if slices.Contains(nothing, string(text)) || column == "rollout_percent" && string(text) == "0" {
			continue
		}
		words = append(words, column+"="+strings.Trim(string(text), `"`))
	}
	return strings.ReplaceAll(strings.Join(words, " "), w.prefix, "")
}

// nothing is how JSON writes what is empty.
var nothing = []string{`""`, "[]", "{}", "null"}

// readWorlds reads testdata/rules.txt, which says what its lines mean.
func readWorlds(t *testing.T) []*world {
	file, err := os.Open("testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var worlds []*world
	number := 0
	for lines := bufio.NewScanner(file); lines.Scan(); number++ {
		line := lines.Text()
		title, isTitle := strings.CutPrefix(line, "# ")
		if isTitle {
			worlds = append(worlds, &world{title: title, prefix: fmt.Sprintf("w%02d/", len(worlds))})
		}
		if isTitle || line == "" || len(worlds) == 0 {
			continue
		}
		w := worlds[len(worlds)-1]
		words := strings.Fields(line)
		switch {
		case words[0] == "?":
			w.observations = append(w.observations, w.observation(t, number, words[1:]))
			w.want = append(w.want, "")
		case line[0] == ' ':
			slices.Sort(words)
			w.want[len(w.want)-1] = strings.Join(words, " ")
		default:
			w.facts = append(w.facts, w.fact(t, number, words))
		}
	}
	return worlds
}

func (w *world) fact(t *testing.T, number int, words []string) map[string]any {
	row := w.envelope(number, "io.whence."+words[0], words[1])
	data := map[string]any{}
	for key, value := range w.values(t, words[2:]) {
		switch key {
		case "@source", "@id":
			row[key[1:]] = value
		case "@hash":
			row["content_hash"] = value
		default:
			data[key] = value
		}
	}
	row["service"], row["environment"] = data["service"], data["environment"]
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	row["data"] = string(text)
	return row
}

func (w *world) observation(t *testing.T, number int, words []string) map[string]any {
	row := w.envelope(number, "io.whence.behavior.recorded", words[0])
	row["name"] = "buy"
	for key, value := range w.values(t, words[1:]) {
		row[key] = value
		if key == "type" {
			row["name"], row[key] = value, "io.whence."+value.(string)
		}
	}
	return row
}

func (w *world) envelope(number int, name, clock string) map[string]any {
	return map[string]any{"source": w.prefix + "hand", "id": w.prefix + strconv.Itoa(number), "type": name,
		"time": "2024-05-01 " + (clock + ":00.000"[min(len(clock)-5, 7):])[:12], "content_hash": number}
}

// values reads k=v words: JSON where v looks like it, else a string.
func (w *world) values(t *testing.T, words []string) map[string]any {
	values := map[string]any{}
	for _, text := range words {
		key, v, _ := strings.Cut(text, "=")
		if key == "in" {
			service, environment, _ := strings.Cut(v, "/")
			values["service"], values["environment"] = w.prefix+service, w.prefix+environment
			continue
		}
		values[key] = w.own(key, v)
		if strings.ContainsAny(v[:1], "[{") || slices.Contains([]string{"percent", "part", "parts", "complete", "@hash"}, key) {
			decoder := json.NewDecoder(strings.NewReader(v))
			decoder.UseNumber()
			var value any
			if err := decoder.Decode(&value); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			values[key] = w.own(key, value)
		}
	}
	return values
}

// own puts the prefix before every name in v, and before nothing that means
// the same in every world.
func (w *world) own(key string, v any) any {
	switch v := v.(type) {
	case string:
		shared := []string{"type", "kind", "outcome", "status", "severity", "started_at", "ended_at", "first_seen", "merged_at"}
		if v == "" || slices.Contains(shared, key) {
			return v
		}
		return w.prefix + v
	case []any:
		for i := range v {
			v[i] = w.own(key, v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = w.own(k, v[k])
		}
	}
	return v
}
