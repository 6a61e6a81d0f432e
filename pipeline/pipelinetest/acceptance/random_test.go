package acceptance_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var seed = flag.Uint64("seed", 1, "of the random worlds")

// The recorded material has deployments and incidents only. These are small
// worlds of every fact that the timeline folds or that has a table, crowded on
// purpose: few names, few moments, shared ids, so that every tie, chain,
// conflict and overlap comes up.
func TestInRandomWorldsEveryColumnEqualsTheOracleInEveryOrder(t *testing.T) {
	const worlds, facts, observations = 150, 40, 60
	random := rand.New(rand.NewPCG(*seed, 29))
	m := &material{}
	for number := range worlds {
		w := &randomWorld{Rand: random, prefix: fmt.Sprintf("w%d-", number), minutes: 5 + random.IntN(120)}
		for range facts {
			m.all = append(m.all, said{line: w.line(w.fact()), fact: true})
		}
		for range observations {
			m.all = append(m.all, said{line: w.line(w.observation())})
		}
	}
	var contents map[string][]string
	t.Run("all facts first", func(t *testing.T) {
		s := up(t, t.TempDir())
		s.publish(file(t, "facts.jsonl", m.only(true)))
		s.awaitQuiet()
		s.publish(file(t, "observations.jsonl", m.only(false)))
		s.awaitQuiet()
		s.holdsLaw2()
		t.Logf("seed %d: %d facts, %d conflicts, %d observations", *seed, s.count("facts"), s.count("conflicts"), s.count("observations"))
		s.neededNoCorrection()
		s.equalsOracle()
		s.entitiesEqualOracle()
		contents = s.contents()
		s.stop()
	})
	t.Run("shuffled", func(t *testing.T) {
		s := up(t, t.TempDir())
		s.publish("--as", "json", file(t, "shuffled.jsonl.gz", m.shuffled(*seed)))
		s.awaitQuiet()
		s.holdsLaw2()
		sameContents(t, contents, s.contents())
		t.Logf("%s rows were corrected", s.ask("SELECT sum(corrected) FROM whence_state.reconciled"))
		s.equalsOracle()
		s.entitiesEqualOracle()
		s.stop()
	})
	// Most worlds are more than an hour long, and all lie side by side in the same two: a start lets go of half
	// of what is known, and what comes then needs most of it again.
	t.Run("shuffled, with most facts before the horizon", func(t *testing.T) {
		horizon := filepath.Join(t.TempDir(), "horizon.yaml")
		if err := os.WriteFile(horizon, []byte("horizon: 1h\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		dir, all := t.TempDir(), m.shuffled(*seed+1)
		s := up(t, dir, "--config", horizon)
		s.publish("--as", "json", file(t, "half.jsonl.gz", all[:len(all)/2]))
		s.awaitQuiet()
		s.stop()
		s = up(t, dir, "--config", horizon)
		s.publish("--as", "json", file(t, "other.jsonl.gz", all[len(all)/2:]))
		s.awaitQuiet()
		s.holdsLaw2()
		sameContents(t, contents, s.contents())
		s.equalsOracle()
		s.entitiesEqualOracle()
		s.stop()
	})
}

// randomWorld makes events about names of its own.
type randomWorld struct {
	*rand.Rand
	prefix  string
	minutes int // all its moments lie within
	number  int
}

type object = map[string]any

func (w *randomWorld) line(e object) []byte {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return append(line, '\n')
}

// one of n names of a kind.
func (w *randomWorld) one(kind string, n int) string {
	return fmt.Sprint(w.prefix, kind, w.IntN(n))
}

func (w *randomWorld) some(kind string, n int) []string {
	names := make([]string, w.IntN(3))
	for i := range names {
		names[i] = w.one(kind, n)
	}
	return names
}

// version is one of n, in one of its spellings.
func (w *randomWorld) version(n int) string {
	number := w.IntN(n)
	release, commit := fmt.Sprint(number, ".0"), fmt.Sprintf("c0ffee%x1%032x", number, number)
	return []string{release, "v" + release, commit, commit[:7], commit[:8], "sha-" + commit[:7]}[w.IntN(6)]
}

func (w *randomWorld) service() string { return w.one("service", 5) }
func (w *randomWorld) environment() string {
	return w.prefix + []string{"prod", "prod", "test"}[w.IntN(3)]
}

// moment is a whole minute, or now and then a millisecond beside it.
func (w *randomWorld) moment() string {
	at := time.Date(2024, 5, 1, 10, w.IntN(w.minutes), 0, 0, time.UTC)
	if w.IntN(4) == 0 {
		at = at.Add(time.Duration(w.IntN(3)-1) * time.Millisecond)
	}
	return at.Format("2006-01-02T15:04:05.000Z07:00")
}

// maybe states a field half of the time.
func (w *randomWorld) maybe(data object, field string, value any) {
	if w.IntN(2) == 0 {
		data[field] = value
	}
}

func (w *randomWorld) envelope(name string, data object) object {
	w.number++
	return object{"specversion": "1.0", "type": "io.whence." + name, "time": w.moment(), "data": data,
		"source": w.prefix + []string{"A", "b", "é"}[w.IntN(3)], "id": fmt.Sprint(w.number)}
}

func (w *randomWorld) fact() object {
	makers := []func() (string, object){
		w.deployment, w.deployment, w.deployment, w.incident, w.incident, w.finding, w.scan, w.scan, w.flag, w.change, w.declaration, w.identity, w.retraction, w.other}
	name, data := makers[w.IntN(len(makers))]()
	e := w.envelope(name, data)
	if w.IntN(2) == 0 { // some meet others of their id, for conflicts and retractions
		e["id"] = fmt.Sprint("shared-", w.IntN(12))
	}
	return e
}

func (w *randomWorld) deployment() (string, object) {
	data := object{"deployment_id": w.one("d", 8), "service": w.service(), "environment": w.environment(), "version": w.version(4)}
	w.maybe(data, "previous_version", w.version(4))
	w.maybe(data, "revisions", w.some("r", 6))
	w.maybe(data, "percent", []float64{0, 12.5, 50, 100}[w.IntN(4)])
	w.maybe(data, "instances_added", w.some("i", 4))
	stage := []string{"started", "progressed", "finished"}[w.IntN(3)]
	if stage == "finished" {
		data["outcome"] = []string{"success", "success", "failure", "cancelled", "rolled_back"}[w.IntN(5)]
	}
	return "deployment." + stage, data
}

func (w *randomWorld) incident() (string, object) {
	data := object{"incident_id": w.one("n", 4), "service": w.service(), "environment": w.environment()}
	w.maybe(data, "services", w.some("service", 5))
	w.maybe(data, "severity", []string{"critical", "high", "medium", "low", "info", "sev1", "sev2"}[w.IntN(7)])
	if w.IntN(4) == 0 {
		data["started_at"] = w.moment()
	}
	if w.IntN(4) == 0 {
		data["ended_at"] = w.moment()
	}
	return "incident." + []string{"opened", "acknowledged", "updated", "merged", "resolved", "reopened"}[w.IntN(6)], data
}

func (w *randomWorld) finding() (string, object) {
	data := object{"finding_id": w.one("g", 4), "kind": "audit", "rule": "rule", "severity": "low"}
	w.maybe(data, "service", w.service())
	w.maybe(data, "environment", w.environment())
	w.maybe(data, "repository", w.one("p", 3))
	w.maybe(data, "revision_introduced", w.one("r", 6))
	w.maybe(data, "first_seen", w.moment())
	return "finding." + []string{"opened", "opened", "remediated", "accepted"}[w.IntN(4)], data
}

// scan is a part of one of few scans of a tool or two, mostly the only part.
func (w *randomWorld) scan() (string, object) {
	data := object{"scan_id": w.one("scan", 6), "tool": w.one("tool", 1+w.IntN(2)), "target": "t"}
	if w.IntN(3) == 0 {
		data["part"] = 1 + w.IntN(2)
		w.maybe(data, "parts", 2)
	}
	if w.IntN(8) == 0 {
		data["complete"] = false
	}
	w.maybe(data, "service", w.service())
	w.maybe(data, "repository", w.one("p", 3))
	findings := []object{}
	for range w.IntN(4) {
		_, finding := w.finding()
		w.maybe(finding, "status", []string{"open", "accepted", "remediated"}[w.IntN(3)])
		findings = append(findings, finding)
	}
	w.maybe(data, "findings", findings)
	return "scan.completed", data
}

func (w *randomWorld) flag() (string, object) {
	data := object{"flag": w.one("f", 3), "environment": w.environment(),
		"rules": object{"on": w.IntN(100), "ratio": w.Float64(), "a/b \"é\"": "staff", "nested": object{"z": 1e21, "a": []any{1.5, "x"}}}}
	w.maybe(data, "services", w.some("service", 5))
	return "flag.changed", data
}

func (w *randomWorld) change() (string, object) {
	if w.IntN(4) == 0 {
		return "configuration.changed", object{"change_id": w.one("c", 4), "environment": w.environment(), "summary": "a change", "revision": w.one("r", 6)}
	}
	data := object{"change_id": w.one("c", 4), "repository": w.one("p", 3), "revision": w.one("r", 6), "merged_at": w.moment()}
	w.maybe(data, "commits", []object{{"revision": w.one("r", 6)}, {"author": "nobody"}})
	return "change.merged", data
}

func (w *randomWorld) declaration() (string, object) {
	data := object{"service": w.service()}
	w.maybe(data, "environment", w.environment())
	w.maybe(data, "owner", w.one("team", 3))
	w.maybe(data, "tier", w.one("tier", 3))
	w.maybe(data, "repositories", w.some("p", 3))
	if w.IntN(4) == 0 {
		data["aliases"] = w.some("service", 5)
	}
	return "service.declared", data
}

func (w *randomWorld) identity() (string, object) {
	kind, name := "service", w.service
	switch w.IntN(3) {
	case 1:
		kind = "person"
	case 2:
		kind, name = "repository", func() string { return w.one("p", 3) }
	}
	return "identity.declared", object{"kind": kind, "canonical": name(), "alias": name(), "source": "somewhere"}
}

// other is a fact that has a table and changes no column.
func (w *randomWorld) other() (string, object) {
	outcome := []string{"success", "failure"}[w.IntN(2)]
	switch w.IntN(5) {
	case 0:
		data := object{"alert_id": w.one("a", 3), "service": w.service(), "environment": w.environment()}
		w.maybe(data, "severity", "high")
		w.maybe(data, "labels", object{"pod": w.one("i", 3)})
		return "alert." + []string{"fired", "resolved"}[w.IntN(2)], data
	case 1:
		data := object{"experiment": w.one("e", 2), "hypothesis": "h", "unit": "user", "variants": []object{{"name": "a", "weight": 1}}, "primary_metric": "m"}
		w.maybe(data, "services", w.some("service", 5))
		return "experiment." + []string{"started", "stopped"}[w.IntN(2)], data
	case 2:
		return "build.finished", object{"build_id": w.one("b", 2), "revision": w.one("r", 6), "outcome": outcome}
	case 3:
		return "test.finished", object{"run_id": w.one("t", 2), "suite": "s", "revision": w.one("r", 6), "outcome": outcome}
	}
	return "artifact.published", object{"artifact": w.one("pkg", 2), "revision": w.one("r", 6)}
}

func (w *randomWorld) retraction() (string, object) {
	return "fact.retracted", object{"retracts": object{
		"source": w.prefix + []string{"A", "b", "é"}[w.IntN(3)], "id": fmt.Sprint("shared-", w.IntN(12))}}
}

func (w *randomWorld) observation() object {
	at := object{"service": w.service(), "environment": w.environment()}
	switch w.IntN(8) {
	case 0:
		at["experiment"], at["variant"], at["unit_id"] = "e", w.one("variant", 2), "u"
		return w.envelope([]string{"experiment.exposed", "experiment.assigned"}[w.IntN(2)], at)
	case 1:
		return w.envelope("user.identified", object{"anonymous_id": "a", "user": "u"})
	case 2:
		at["interval_ms"] = 60000
		at["instance"] = w.one("i", 4)
		return w.envelope("service.measured", at)
	}
	at["name"] = "buy"
	w.maybe(at, "version", w.version(5))
	w.maybe(at, "instance", w.one("i", 5))
	return w.envelope("behavior.recorded", at)
}
