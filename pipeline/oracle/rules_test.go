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
	if err := oracle.Compute(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	got := computed(t, query)
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
	if err := oracle.Compute(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	for _, c := range compare(t, query) {
		if empty := c.Name == "row"; (c.Differing == 0) != empty {
			t.Errorf("nothing was enriched, and %s differs in %d rows", c.Name, c.Differing)
		}
	}
	enrich(t, query)
	for _, c := range compare(t, query) {
		if c.Differing != 0 {
			t.Errorf("all was enriched by the oracle, and %s differs in %d rows, such as %+v", c.Name, c.Differing, c.Examples)
		}
	}
	do(t, query, "INSERT INTO whence.observations (source, id, type, name, service, environment, time) "+
		"VALUES ('hand', 'late', 'io.whence.behavior.recorded', 'buy', 'shop', 'prod', '2024-05-01 10:00:00')")
	row := compare(t, query)[0]
	want := oracle.Example{Row: "hand late prod/shop buy 2024-05-01 10:00:00.000", Expected: "absent", Stored: "stored"}
	if row.Name != "row" || row.Differing != 1 || row.Examples[0] != want {
		t.Errorf("one row came after the oracle, and the comparison says %+v", row)
	}
}

// enrich writes the expected columns into the stored rows, as a later revision.
func enrich(t *testing.T, query oracle.Query) {
	columns := "deployment_id, deployed_version, previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids, " +
		"flags, incident_ids, incident_severity, finding_ids, owner, tier, canonical_service, experiments"
	do(t, query, "INSERT INTO whence.observations (source, id, type, name, service, environment, time, version, instance, "+
		"experiment, variant, content_hash, revision, "+columns+") SELECT o.source, o.id, o.type, o.name, o.service, "+
		"o.environment, o.time, o.version, o.instance, o.experiment, o.variant, o.content_hash, 1, e."+
		strings.ReplaceAll(columns, ", ", ", e.")+
		" FROM whence.observations AS o INNER JOIN whence_oracle.expected AS e ON e.id = o.id AND e.source = o.source")
}

func compare(t *testing.T, query oracle.Query) []oracle.Column {
	columns, err := oracle.Compare(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return columns
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
func computed(t *testing.T, query oracle.Query) map[string]map[string]any {
	body := do(t, query, "SELECT * FROM whence_oracle.expected FORMAT JSONEachRow")
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
		if strings.ContainsAny(v[:1], "[{") || key == "percent" || key == "@hash" {
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
		shared := []string{"type", "kind", "outcome", "severity", "started_at", "ended_at", "first_seen", "merged_at"}
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
