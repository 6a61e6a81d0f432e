package correlate

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/schemas/event"
)

// shop is web → cart → payments, where all is well.
func shop(effect string) *scene {
	s := newScene(effect)
	s.DependsOn = map[string][]string{"web": {"cart"}, "cart": {"payments"}}
	return s
}

// about is of which hypothesis a term is asked.
type about struct{ kind, id string }

var (
	ofD    = about{Deployment, "d"}
	ofNone = about{None, ""}
)

// Each term, in a scene in which it speaks and in one in which it has no reason
// to.
func TestEachTermSpeaksWhenItHasAReason(t *testing.T) {
	const second = 1000
	deployed := func(before event.Millis, added ...string) func(*scene) {
		return func(s *scene) { s.deploys("d", "cart", before, added...) }
	}
	// failing is calls into cart that go wrong, whatever cart calls.
	failing := func(s *scene) { s.calls("web", "cart", 1, 0.5) }
	replicas := func(old, fresh float64) func(*scene) {
		return func(s *scene) {
			s.deploys("d", "cart", 90*second, "new")
			s.instance("cart", "old", "1", "web", -24, 5, 1, old)
			s.instance("cart", "new", "2", "web", 0, 5, 1, fresh)
		}
	}
	figure := func(set func(m *Measurement, times float64), times float64) func(*scene) {
		return func(s *scene) {
			replicas(1, 1)(s)
			for i := range s.Measurements {
				if m := &s.Measurements[i]; m.Instance == "new" {
					set(m, times)
				} else {
					set(m, 1)
				}
			}
		}
	}
	latency := func(m *Measurement, times float64) { m.Latency = 10 * times }
	cpu := func(m *Measurement, times float64) { m.CPU = 0.1 * times }
	requests := func(n float64) func(*scene) {
		return func(s *scene) {
			s.calls("web", "cart", 1, 1)
			for i := range s.Measurements {
				s.Measurements[i].Requests = n
			}
		}
	}
	busy := func(times float64) func(*scene) {
		return func(s *scene) {
			s.instance("cart", "old", "1", "web", -24, 5, 1, 1)
			for i := range s.Measurements {
				m := &s.Measurements[i]
				if m.CPU = 0.2; m.At >= onset {
					m.CPU = 0.2 * times
				}
			}
		}
	}
	lastWeek := func(before, after float64) func(*scene) {
		return func(s *scene) {
			failing(s)
			past := newScene("web")
			past.calls("web", "cart", before, after)
			for _, m := range past.Measurements {
				m.At -= week
				s.WeekBefore = append(s.WeekBefore, m)
			}
		}
	}
	unannounced := func(version string, from int) func(*scene) {
		return func(s *scene) {
			s.instance("cart", "old", "1", "web", -24, 5, 1, 1)
			s.instance("cart", "extra", version, "web", from, 5, 1, 0.5)
		}
	}
	all := func(parts ...func(*scene)) func(*scene) {
		return func(s *scene) {
			for _, part := range parts {
				part(s)
			}
		}
	}
	with := func(set func(*Candidate)) func(*scene) {
		return func(s *scene) {
			set(s.deploys("d", "cart", 60*second))
			s.Effect.Introduced = "abc"
		}
	}
	plain := func(*Candidate) {}
	far := func(service string) func(*scene) { return func(s *scene) { s.deploys("d", service, 60*second) } }

	for _, c := range []struct {
		term   string
		of     about
		speaks func(*scene)
		value  float64 // about; 0: any
		words  string
		silent func(*scene)
	}{
		{"kind.deployment", ofD, all(deployed(60*second), func(s *scene) { s.calls("web", "cart", 1, 1) }), 1, "a deployment near the onset", nil},
		{"unseen.deployment", ofD, deployed(60 * second), 1, "of which nothing was measured", nil},
		{"unrelated", ofD, all(deployed(60*second), func(s *scene) { s.Effect.Kind = Finding }), 1, "nothing says that it brought this", deployed(60 * second)},
		{"kind.none", ofNone, failing, 1, "most of what goes wrong has some other reason", nil},
		{"kind.undeclared", about{Undeclared, "cart"}, unannounced("1", -1), 1, "nothing announced it", nil},
		{"introduced", ofD, with(func(c *Candidate) { c.Revisions = []string{"abc"} }), 1, "it carries abc, which the incident names", with(plain)},
		{"given_up", ofD, with(func(c *Candidate) { c.Outcome = "rolled_back" }), 1, "gave it up: rolled_back", with(func(c *Candidate) { c.Outcome = "success" })},
		{"rollback", ofD, with(func(c *Candidate) { c.RollbackOf = "c" }), 1, "it takes back c", with(plain)},
		{"recurs", ofD, with(func(c *Candidate) { c.Confirmed, c.Refuted = 3, 1 }), 0.5, "changes of cart were confirmed 3 times before, others 1 times", with(func(c *Candidate) { c.Refuted = 9 })},
		{"size", ofD, with(func(c *Candidate) { c.Size = 99 }), 0.5, "it changes 99 lines", with(plain)},
		{"age", ofD, deployed(99 * 60 * second), 2. / 3, "its last step before the onset was 99 min earlier", deployed(0)},
		{"lag", ofD, deployed(90 * second), 0.5, "the trouble shows 90 s after its last step", deployed(-300 * second)},
		{"too_late", ofD, deployed(-300 * second), 1, "the trouble began 5 min before it", deployed(60 * second)},
		{"seen_late", about{Undeclared, "cart"}, all(failing, unannounced("1", 4)), 1, "the trouble began 3 min before it", all(failing, unannounced("1", 0))},
		{"distance", ofD, far("payments"), 0.5, "2 calls away from web", far("web")},
		{"unreachable", ofD, far("mail"), 1, "web does not call it, nor anything that does", far("payments")},
		{"own", ofD, all(deployed(60*second), failing), 0.909, "calls from web fail: 50 % more than before", deployed(60 * second)},
		{"upstream", ofD, all(far("payments"), failing), 0.909, "cart, which calls it, fails for no other visible reason", far("payments")},
		{"side", ofD, replicas(1, 0.4), 0.923, "its new instances fail in 60 % of calls, the old ones in 0 %", replicas(0.4, 0.4)},
		{"clean", ofD, replicas(1, 1), 0.833, "its new instances report, and are well: 83.3 % sure", replicas(1, 0)},
		{"alike", ofD, replicas(0.5, 0.4), 0.909, "its old instances fail too: 50 % more than before", replicas(1, 0.4)},
		{"latency", ofD, figure(latency, 8), 1, "the latency of new instances is 8.0 times that of old ones", figure(latency, 1.5)},
		{"cpu", ofD, figure(cpu, 4), 0.5, "the processor load of new instances is 4.0 times that of old ones", figure(cpu, 1)},
		{"silent", ofD, all(deployed(90*second, "new"), func(s *scene) { s.instance("cart", "old", "1", "web", -24, 5, 1, 1) }), 0.99,
			"new instances have never reported", replicas(1, 1)},
		{"idle", ofD, func(s *scene) {
			s.deploys("d", "payments", 90*second, "new")
			failing(s)
			s.instance("payments", "old", "1", "cart", -24, 5, 1, 1)
			s.each(0, 5, func(at event.Millis) Measurement { return unsaid(at, "payments", "new", "cart", "payments") })
		}, 0.83, "cart, which fails, has not called its new instances", func(s *scene) {
			s.deploys("d", "payments", 90*second, "new")
			failing(s)
			s.instance("payments", "new", "2", "cart", 0, 5, 1, 1)
		}},
		{"label", about{Undeclared, "cart"}, unannounced("9", -1), 1, "new instances state a version that was not there before", unannounced("1", -1)},
		{"vanished", about{Undeclared, "cart"}, func(s *scene) {
			s.instance("cart", "old", "1", "web", -24, 5, 1, 1)
			s.instance("cart", "gone", "1", "web", -24, -1, 1, 1)
		}, 0.99, "gone no longer reports", unannounced("1", -1)},
		{"unmoved", ofNone, all(far("cart"), func(s *scene) { s.calls("web", "cart", 1, 1) }), 1, "nothing that was measured has moved where anything changed", nil},
		{"blind", ofNone, far("cart"), 1, "nothing was measured", failing},
		{"elsewhere", ofNone, all(far("web"), func(s *scene) { s.calls("cart", "payments", 1, 0.5) }), 0.909,
			"payments itself fails, and nothing changed there", all(far("payments"), func(s *scene) { s.calls("cart", "payments", 1, 0.5) })},
		{"load", ofNone, busy(1.5), 0.585, "instances that were there before work 1.50 times as hard", busy(0.9)},
		{"weekly", ofNone, lastWeek(1, 0.5), 1, "the same was seen at the same hour a week earlier", lastWeek(1, 1)},
		{"thin", ofNone, requests(10), 0.5, "only 10.0 calls a minute", failing},
	} {
		t.Run(c.term, func(t *testing.T) {
			effect := "web"
			if c.term == "thin" || c.term == "weekly" {
				effect = "cart" // about calls into the effect's own service
			}
			s := shop(effect)
			c.speaks(s)
			term := termOf(t, s, c.of, c.term)
			if term == nil {
				t.Fatal("it says nothing")
			}
			if c.value != 0 && math.Abs(term.Value-c.value) > 0.01 || !strings.Contains(term.Words, c.words) {
				t.Errorf("it says %.3f: %s", term.Value, term.Words)
			}
			if c.silent == nil {
				return
			}
			s = shop(effect)
			c.silent(s)
			if term := termOf(t, s, c.of, c.term); term != nil && term.Value > 0.2 {
				t.Errorf("without a reason it says %.3f: %s", term.Value, term.Words)
			}
		})
	}
}

// termOf is a term of a hypothesis; nil: it says nothing.
func termOf(t *testing.T, s *scene, of about, name string) *Term {
	t.Helper()
	m := DefaultModel()
	for term, w := range m.Weights {
		if w == 0 {
			m.Weights[term] = 1 // a term without a weight is left out
		}
	}
	r := Rank(&s.Situation, m)
	for i := range r.Links {
		if r.Links[i].CauseKind != of.kind || r.Links[i].CauseID != of.id {
			continue
		}
		evidence := r.Links[i].Evidence
		if at := slices.IndexFunc(evidence, func(term Term) bool { return term.Name == name }); at >= 0 {
			return &evidence[at]
		}
	}
	return nil
}

func TestEveryTermOfTheModelHasATest(t *testing.T) {
	source, err := os.ReadFile("evidence_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for name := range DefaultModel().Weights {
		prior, _, of := strings.Cut(name, ".") // those of other kinds differ in nothing but the name
		if !strings.Contains(string(source), `{"`+name+`", `) && (!of || !strings.Contains(string(source), `{"`+prior+`.`)) {
			t.Errorf("%s has none", name)
		}
	}
}

func TestOneMinuteIsSaidAsPeopleSayIt(t *testing.T) {
	for ms, want := range map[time.Duration]string{
		-time.Second: "0 s", 90 * time.Second: "90 s", 5 * time.Minute: "5 min", 3 * time.Hour: "3 h", 72 * time.Hour: "3 days",
	} {
		if got := pause(event.Millis(ms.Milliseconds())); got != want {
			t.Errorf("%v is said as %s, want %s", ms, got, want)
		}
	}
}
