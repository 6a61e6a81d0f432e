package event

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTypesAreDistinctAndWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, typ := range Types() {
		if seen[typ.Name] || !strings.HasPrefix(typ.Name, Prefix) || typ.Doc == "" {
			t.Errorf("%+v", typ)
		}
		seen[typ.Name] = true
		if Lookup(typ.Name) != typ {
			t.Errorf("%s is not found", typ.Name)
		}
		if !slices.Contains(InputTopics(), TopicFor(typ.Name)) {
			t.Errorf("%s goes to %q", typ.Name, TopicFor(typ.Name))
		}
		if typ.Observation != (typ.EntityKind == "") {
			t.Errorf("%s speaks of %q", typ.Name, typ.EntityKind)
		}
		if id := typ.Field(typ.IDField); !typ.Observation && (id == nil || !id.Required) {
			t.Errorf("%s has no required %s", typ.Name, typ.IDField)
		}
		fields := map[string]bool{}
		for _, f := range typ.Fields {
			if fields[f.Name] || f.Doc == "" || len(f.Allowed) > 0 && f.Kind != StringField {
				t.Errorf("%s.%s is stated twice, undocumented or wrongly restricted", typ.Name, f.Name)
			}
			fields[f.Name] = true
			if strings.HasSuffix(f.Name, "_ms") && !strings.Contains(f.Doc, "milliseconds") {
				t.Errorf("%s.%s does not say its unit", typ.Name, f.Name)
			}
		}
	}
}

func TestTopicsOfTypesFromElsewhere(t *testing.T) {
	for name, want := range map[string]string{
		"dev.cdevents.incident.reported.0.3.0": TopicIncidents,
		"dev.cdevents.service.deployed.0.3.0":  TopicDelivery,
		"com.example.order":                    TopicDelivery,
	} {
		if got := TopicFor(name); got != want {
			t.Errorf("%s goes to %s", name, got)
		}
	}
}

// stated is a field as the design's list of events writes it.
type stated struct {
	name     string
	required bool
}

var (
	insideBrackets = regexp.MustCompile(`\([^)]*\)|\{[^}]*\}`)
	typeName       = regexp.MustCompile("`([a-z.]+)`")
)

// statedFields reads `a!, b[], c[{x, y}]!`; of the prose behind a full stop, nothing.
func statedFields(text string) (fields []stated) {
	text, _, _ = strings.Cut(text, ". ")
	for _, f := range strings.Split(text, ",") {
		name := strings.TrimRight(strings.TrimSpace(f), "[]! ")
		fields = append(fields, stated{name, strings.HasSuffix(strings.TrimSpace(f), "!")})
	}
	return fields
}

func TestTheRegistryIsTheDesignsList(t *testing.T) {
	shared := os.Getenv("WHENCE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	list, err := os.ReadFile(filepath.Join(shared, "events.md"))
	if err != nil {
		t.Log("the design's list of events is not here, so it was not compared")
		return
	}
	_, own, _ := strings.Cut(string(list), "## Facts\n")
	own, _, _ = strings.Cut(own, "## What comes from elsewhere")
	known := map[string]bool{}
	for _, row := range strings.Split(own, "\n") {
		cells := strings.SplitN(row, " | ", 2)
		names := typeName.FindAllStringSubmatch(cells[0], -1)
		if len(cells) < 2 || len(names) == 0 || strings.Contains(cells[0], "type `io") {
			continue
		}
		fields := insideBrackets.ReplaceAllString(strings.TrimSuffix(cells[1], " |"), "")
		groups := strings.Split(fields, ";")
		first := ""
		for i, m := range names {
			name := m[1]
			if strings.HasPrefix(name, ".") {
				name = first[:strings.IndexByte(first, '.')] + name
			} else {
				first = name
			}
			group := groups[0]
			if len(groups) == len(names) {
				group = groups[i] // team.declared, identity.declared: fields of their own
			}
			known[Prefix+name] = true
			compareFields(t, Prefix+name, statedFields(group))
		}
	}
	// Types that are ours beyond it; pipeline/DESIGN.md says why.
	beyond := []string{Prefix + "scan.completed"}
	for _, typ := range Types() {
		if !known[typ.Name] && !slices.Contains(beyond, typ.Name) {
			t.Errorf("%s is not in the design's list", typ.Name)
		}
	}
}

func compareFields(t *testing.T, name string, want []stated) {
	t.Helper()
	typ := Lookup(name)
	if typ == nil {
		t.Errorf("%s is not in the registry", name)
		return
	}
	for _, w := range want {
		f := typ.Field(w.name)
		onFinished := name == Prefix+"deployment.finished" && w.name == "outcome"
		if f == nil || f.Required != (w.required || onFinished) {
			t.Errorf("%s: %s (required: %v) is %+v", name, w.name, w.required, f)
		}
	}
	if len(typ.Fields) != len(want) {
		t.Errorf("%s has %d fields, the list %d", name, len(typ.Fields), len(want))
	}
}
