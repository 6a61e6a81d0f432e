package why

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/display"
)

const ten = Moment(1_773_309_600_000) // 2026-03-12 10:00 UTC

func series(values ...float64) []*float64 {
	all := make([]*float64, len(values))
	for i, v := range values {
		if v >= 0 {
			all[i] = ptr(v)
		}
	}
	return all
}

func plain(lines []styled) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		all[i] = string(line)
	}
	return all
}

func TestAPlotHasItsMarksUnderTheirMinutes(t *testing.T) {
	s := &Signal{
		What: "errors", Service: "payments", From: ten, Step: 60,
		Values: series(0, 0, 0.01, 0.1, 0.2, -1, 0.2),
		Marks:  []Mark{{ten + 2*minute, "1", "deployment v2"}, {ten + 2*minute + 30_000, "2", "flag f"}, {ten + 3*minute, "!", "onset"}},
	}
	want := `
20 % ┤    █ █
     ┤    █ █
     ┤   ██ █
 0 % ┤▁▁▂██·█
     └──1!───
        2
      10:00
      1 10:02 deployment v2   2 10:02 flag f   ! 10:03 onset`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), strings.Join(plain(s.plot(Look{})), "\n")); diff != "" {
		t.Error(diff)
	}
	want = `
20 % |    # #
     |    # #
     |   ## #
 0 % |...## #
     +--1!---
        2
      10:00
      1 10:02 deployment v2   2 10:02 flag f   ! 10:03 onset`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), strings.Join(plain(s.plot(Look{ASCII: true})), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestAPlotOfNothingOrOfSilenceIsAFlatLine(t *testing.T) {
	for _, values := range [][]*float64{series(0, 0, 0), series(-1, -1, -1), series(0)} {
		s := &Signal{What: "errors", From: ten, Step: 60, Values: values, Marks: []Mark{{ten + 99*minute, "!", "onset"}}}
		if lines := s.plot(Look{}); len(lines) != plotRows+3 {
			t.Errorf("%v: %q", values, lines)
		}
	}
}

// minutes are points of a minute each, from ten on.
func minutes(n int, each func(i int) point) []point {
	all := make([]point, n)
	for i := range all {
		all[i] = each(i)
		all[i].At = ten + Moment(i)*minute
	}
	return all
}

func TestWhatIsShownIsWhatChangedAtTheOnset(t *testing.T) {
	after := func(i int, then, now float64) float64 {
		if i < 10 {
			return then
		}
		return now
	}
	for want, each := range map[string]func(int) point{
		"errors":    func(i int) point { return point{Requests: 100, Errors: after(i, 0, 10)} },
		"shortfall": func(i int) point { return point{Requests: after(i, 100, 20)} },
		"latency":   func(i int) point { return point{Requests: 100, Latency: ptr(after(i, 50, 200))} },
	} {
		what, values := telltale(minutes(20, each), ten, ten+20*minute, ten+10*minute, "")
		if what != want || len(values) != 20 {
			t.Errorf("shown is %s of %d minutes, want %s", what, len(values), want)
		}
	}
	// Ratios without counts are errors too, and what does not move is shown as such.
	for _, each := range []func(int) point{
		func(i int) point { return point{Ratio: ptr(after(i, 0, 0.5))} },
		func(int) point { return point{Requests: 100, Errors: 1} },
	} {
		if what, values := telltale(minutes(20, each), ten, ten+20*minute, ten+10*minute, ""); what != "errors" || values[15] == nil {
			t.Errorf("shown is %s: %v", what, values[15])
		}
	}
}

// After the onset 55 % fail, and traffic ends; a stray request comes much later.
func TestTheChartShowsWhatTheRankingArguesFrom(t *testing.T) {
	points := minutes(30, func(int) point { return point{Requests: 100} })[:20]
	for i := 10; i < 20; i++ {
		points[i].Errors = 55
	}
	points = append(points, point{At: ten + 39*minute, Requests: 1})
	for want, leaders := range map[string][]Hypothesis{
		"errors": {
			{Kind: "none", Evidence: []Term{{Name: "thin", Contribution: 3}}},
			{Kind: "deployment", Evidence: []Term{{Name: "kind.deployment", Contribution: 9}, {Name: "own", Contribution: 2}, {Name: "latency", Contribution: 1}, {Name: "side", Contribution: -1}}},
		},
		"shortfall": {{Kind: "deployment", Evidence: []Term{{Name: "own", Contribution: -2}, {Name: "latency", Contribution: 1}}}}, // whose latency nobody measured
	} {
		s := &Story{Hypotheses: leaders}
		what, values := telltale(points, ten, ten+40*minute, ten+10*minute, s.argued())
		if what != want || values[15] == nil {
			t.Errorf("shown is %s: %v, want %s", what, values[15], want)
		}
	}
}

func TestNothingStaysAwayBeforeTheFirstEventOrAfterTheLast(t *testing.T) {
	traffic := series(-1, -1, 10, 10, 10, 10, 10, 5, -1, 10, -1, -1)
	want := []string{"-", "-", "0", "0", "0", "0", "0", "0.5", "1", "-", "-", "-"}
	for i, v := range shortfall(traffic, 7) {
		got := "-"
		if v != nil {
			got = fmt.Sprint(*v)
		}
		if got != want[i] {
			t.Errorf("minute %d: %s stays away, want %s", i, got, want[i])
		}
	}
}

func TestMinutesWithoutTrafficAreAShortfallOnlyWhereMuchIsUsual(t *testing.T) {
	usual := []*float64{ptr(10), ptr(10), ptr(10), ptr(10), ptr(10), nil, ptr(5), nil}
	if got := shortfall(usual, 5); *got[5] != 1 || got[6] != nil || got[7] != nil { // the last minute seen may not be over
		t.Errorf("shortfall %v", got)
	}
	for _, v := range shortfall([]*float64{ptr(10), nil, nil, ptr(10)}, 2) {
		if v != nil {
			t.Error("something is missing where nobody knows what is usual")
		}
	}
}

// story is one with two hypotheses, the first of which does not add up.
func story() *Story {
	return &Story{
		Effect:  &Effect{Kind: "incident", ID: "i", Title: "title", Service: "s", Services: []string{"s"}, State: "open", Onset: ten},
		Ranking: &Ranking{Number: 1, ComputedAt: ten + minute},
		History: []Said{{Ranking: Ranking{Number: 1, ComputedAt: ten + minute}, Kind: "none", Changed: true, Probability: 0.999}},
		Hypotheses: []Hypothesis{
			{Rank: 1, Kind: "none", Probability: 0.999, LogOdds: 2, Sum: 1, Evidence: []Term{{Name: "calm", Value: 1, Weight: 1, Contribution: 1, Words: "nothing moved"}}},
			{Rank: 2, Kind: "undeclared", ID: "s", Probability: 0.0005},
		},
	}
}

func TestTermsThatDoNotAddUpAreCalledSo(t *testing.T) {
	var out strings.Builder
	if err := story().Tell(&out, Look{Width: 80}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  1  >99 %  no known change: nothing that was announced or seen explains it\n",
		"     +2.000 log odds as stored, but its 1 term adds up to +1.000: the evidence is not complete\n",
		"  2 <0.1 %  a change of s that nothing announced\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours, and nobody asked for them")
	}
	out.Reset()
	if err := story().Tell(&out, Look{Width: 80, Colors: true}); err != nil || !strings.Contains(out.String(), "\x1b[1mincident i  title\x1b[0m\n") {
		t.Errorf("no colours, %v:\n%s", err, out.String())
	}
}

func TestARankingThatIsDueForAnotherIsCalledSo(t *testing.T) {
	for _, due := range []bool{true, false} {
		s := story()
		s.Ranking.Due = due
		var out strings.Builder
		if err := s.Tell(&out, Look{Width: 80}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "\n  more has become known since: a new ranking is due\n"); got != due {
			t.Errorf("due %v:\n%s", due, out.String())
		}
	}
}

func TestHowFarTheForecastReachesIsToldWhereNothingWasSeenAnyMore(t *testing.T) {
	for until, want := range map[Moment]string{
		ten + 30*minute:    "        cart.added: 7 fewer than forecast until 10:30:00, when the last was seen\n",
		ten + 24*60*minute: "        cart.added: 7 fewer than forecast\n",
	} {
		s := story()
		s.Hit = &Hit{From: ten, To: ten + hitFor, Users: 3, Lost: map[string]float64{"cart.added": 7}, LostUntil: until}
		var out strings.Builder
		if err := s.Tell(&out, Look{Width: 80}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v, %q is not in\n%s", err, want, out.String())
		}
	}
}

// fill puts text into every string of v.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]float64{text: 7}))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Bool:
		v.SetBool(true)
	}
}

func TestWhatProducersSayGivesNoOrdersToTheTerminal(t *testing.T) {
	var effect, deployment Story
	fill(reflect.ValueOf(&effect).Elem(), "x\x1b[2J\r\u009b\u202e\x07\tx")
	deployment = effect
	effect.Deployment, deployment.Effect = nil, nil
	for _, s := range []*Story{&effect, &deployment} {
		for _, colors := range []bool{false, true} {
			var out strings.Builder
			if err := s.Tell(&out, Look{Width: 80, Colors: colors, SQL: true}); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			for _, code := range []string{"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m"} {
				text = strings.ReplaceAll(text, code, "")
			}
			if i := strings.IndexAny(text, "\x1b\r\u009b\u202e\x07\t"); i >= 0 || !strings.Contains(text, "x\ufffd[2J") {
				t.Errorf("told %q", text[max(0, i-40):])
			}
		}
	}
}

func TestAsManyTermsAreCountedAsAreShown(t *testing.T) {
	s := story()
	s.Hypotheses = []Hypothesis{{Rank: 1, Kind: "none", Probability: 1, LogOdds: 1, Sum: 1, Evidence: []Term{
		{Name: "calm", Value: 1, Weight: 1, Contribution: 1, Words: "nothing moved"}, {Name: "far", Value: 0, Weight: 1, Words: "nothing is far"},
	}}}
	for look, want := range map[Look]int{{Width: 80}: 1, {Width: 80, All: true}: 2, {Width: 80, SQL: true}: 2} {
		var out strings.Builder
		if err := s.Tell(&out, look); err != nil {
			t.Fatal(err)
		}
		if text := out.String(); strings.Count(text, " × 1]") != want ||
			!strings.Contains(text, fmt.Sprintf("the sum of %d %s\n", want, display.Plural(want, "term", "terms"))) {
			t.Errorf("%+v:\n%s", look, text)
		}
	}
}

func TestOfManyHypothesesTheFirstAreToldAndNoKnownChangeAlways(t *testing.T) {
	s := story()
	s.Hypotheses = nil
	for i := range 9 {
		s.Hypotheses = append(s.Hypotheses, Hypothesis{Rank: i + 1, Kind: "deployment", ID: fmt.Sprint(i + 1), Probability: 0.1})
	}
	s.Hypotheses = append(s.Hypotheses, Hypothesis{Rank: 10, Kind: "none", Probability: 0.1})
	var out strings.Builder
	if err := s.Tell(&out, Look{Width: 80}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "deployment 5\n") || strings.Contains(text, "deployment 6\n") ||
		!strings.Contains(text, "  10  10 %  no known change") || !strings.Contains(text, "4 more with 40 % together: --all shows them") {
		t.Errorf("told\n%s", text)
	}
	out.Reset()
	if err := s.Tell(&out, Look{Width: 80, All: true}); err != nil || !strings.Contains(out.String(), "deployment 9\n") {
		t.Errorf("told, %v\n%s", err, out.String())
	}
}

func TestLinesEndWhereTheTerminalDoes(t *testing.T) {
	w := &teller{Look: Look{Width: 40}}
	w.wrapped("  + ", "    ", "instances of the new version fail a quarter of"+hardSpace+"their requests")
	if want := "  + instances of the new version fail a\n    quarter of\u00a0their requests\n"; w.out.String() != want {
		t.Errorf("wrote %q", w.out.String())
	}
}

func TestAStatementHoldsItsValuesAsLiterals(t *testing.T) {
	got := with("SELECT {a}, {b}, {c} WHERE x = {a}", "a", `it's \ {b}`, "b", []string{"x", "y'"}, "c", ten)
	want := `SELECT 'it\'s \\ {b}', ['x', 'y\''], toDateTime64('2026-03-12 10:00:00.000', 3, 'UTC') WHERE x = 'it\'s \\ {b}'`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAnErrorOfTheTablesIsTheErrorOfTheStory(t *testing.T) {
	away := pipeline.Fatalf("migrate", "no such table")
	_, err := Read(t.Context(), func(context.Context, string) ([]byte, error) { return nil, away }, Question{ID: "i"})
	if !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	_, err = Read(t.Context(), func(context.Context, string) ([]byte, error) { return []byte("<html>"), nil }, Question{ID: "i"})
	if err == nil || !strings.HasPrefix(err.Error(), "an answer of ClickHouse is not what was asked for") {
		t.Errorf("got %v", err)
	}
}

// TestEveryDeploymentThatIsToldHasWhatWasKnownOfIt: with --as-of those below the fifth
// rank had no version, state or time, though --all tells of all.
func TestEveryDeploymentThatIsToldHasWhatWasKnownOfIt(t *testing.T) {
	for _, all := range []bool{false, true} {
		s := story()
		s.Hypotheses = nil
		for i := range 45 {
			s.Hypotheses = append(s.Hypotheses, Hypothesis{Rank: i + 1, Kind: "deployment", ID: fmt.Sprintf("d%d", i+1)})
		}
		ask := func(_ context.Context, statement string) ([]byte, error) {
			var rows []byte
			for i := range s.Hypotheses {
				if id := s.Hypotheses[i].ID; strings.Contains(statement, "facts_history") && strings.Contains(statement, "'"+id+"'") {
					rows = fmt.Appendf(rows, `{"kind":"deployment","id":"%s","what":"v%s","state":"running","started":%d,"ended":null}`+"\n", id, id, ten)
				}
			}
			return rows, nil
		}
		r := &reader{Question: Question{AsOf: ten, All: all}, ask: ask}
		if err := r.candidates(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		for i, h := range s.Hypotheses {
			if known := all || i < telling; known != (h.What == "v"+h.ID && h.State == "running" && h.StartedAt == ten) {
				t.Errorf("all %t: deployment %s is %q, %q, since %d", all, h.ID, h.What, h.State, h.StartedAt)
			}
		}
	}
}
