package why

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline/display"
)

// Look is how a story is told.
type Look struct {
	Width  int  // of the terminal
	ASCII  bool // no characters beyond it
	Colors bool
	SQL    bool // the statement behind each figure
	All    bool // every hypothesis with its evidence
}

func (l Look) glyphs() glyphs {
	if l.ASCII {
		return ascii
	}
	return unicode
}

// styled is a line that is fit for a terminal: nothing in it acts on one but the
// colours.
type styled string

func (l Look) bold(text string) styled  { return l.with("1", text) }
func (l Look) faint(text string) styled { return l.with("2", text) }
func (l Look) red(text string) styled   { return l.with("31", text) }

func (l Look) with(code, text string) styled {
	text = display.Line(text)
	if !l.Colors || text == "" {
		return styled(text)
	}
	return styled("\x1b[" + code + "m" + text + "\x1b[0m")
}

// teller writes a story.
type teller struct {
	*Story
	Look
	out strings.Builder
}

// Tell writes the story for a person.
func (s *Story) Tell(w io.Writer, l Look) error {
	t := &teller{Story: s, Look: l}
	if s.Deployment != nil {
		t.deployment()
	} else {
		t.effect()
	}
	if len(s.Next) > 0 {
		t.heading("Next")
		width := 0
		for _, a := range s.Next {
			width = max(width, len(a.Command))
		}
		for _, a := range s.Next {
			t.say("  %s   %s", t.bold(fmt.Sprintf("%-*s", width, a.Command)), a.When)
		}
	}
	text := strings.ReplaceAll(t.out.String(), hardSpace, " ")
	if l.ASCII {
		text = strings.NewReplacer("·", "-", "×", "x", "−", "-", "…", "...", "\ufffd", "?").Replace(text)
	}
	_, err := io.WriteString(w, text)
	return err
}

// say writes a line, or more if the format has more. What it is given was said by
// anybody, unless it is styled.
func (t *teller) say(format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = display.Line(text)
		}
	}
	fmt.Fprintf(&t.out, format+"\n", args...)
}

func (t *teller) heading(text string) { t.say("\n%s", t.bold(text)) }

// statement shows SQL where that is asked for.
func (t *teller) statement(sql, indent string) {
	if !t.SQL || sql == "" {
		return
	}
	for line := range strings.Lines(strings.TrimSpace(sql)) {
		t.say("%s%s", indent, t.faint(strings.TrimRight(line, "\n")))
	}
}

// wrapped writes text over lines of the terminal's width, the first after lead.
// It is broken at spaces, not at hard ones.
func (t *teller) wrapped(lead, indent, text string) {
	line, room := lead, max(t.Width, 40)
	for i, word := range strings.Split(text, " ") {
		switch {
		case i == 0:
			line += word
		case width(line)+1+width(word) > room:
			t.say("%s", line)
			line = indent + word
		default:
			line += " " + word
		}
	}
	t.say("%s", line)
}

const hardSpace = "\u00a0"

func width(text string) int { return len([]rune(text)) }

func (t *teller) effect() {
	e := t.Effect
	t.say("%s", t.bold(strings.TrimSpace(fmt.Sprintf("%s %s  %s", e.Kind, e.ID, e.Title))))
	t.wrapped("  ", "  ", strings.Join(nonempty(strings.Join(e.Services, ", ")+in(e.Environment), e.Severity, e.State, named("of incident ", e.Incident)), " · "))
	if e.Onset != 0 {
		t.say("  since %s%s", e.Onset.Time().Format("2006-01-02 15:04:05 UTC"), e.course())
	}
	t.statement(e.SQL, "      ")
	t.hit()
	t.signal()
	t.hypotheses()
	t.history()
	t.confirmed()
}

// course is what happened after the onset.
func (e *Effect) course() string {
	var parts []string
	if e.Detected > e.Onset {
		parts = append(parts, "noticed "+lasting(e.Detected-e.Onset)+" later")
	}
	if e.Ended != 0 {
		parts = append(parts, fmt.Sprintf("ended %s, after %s", clock(e.Ended, e.Onset), lasting(e.Ended-e.Onset)))
	} else if e.State != "" {
		parts = append(parts, "goes on")
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

func (t *teller) hit() {
	h := t.Hit
	if h == nil {
		return
	}
	lead := "  hits  "
	if h.Users > 0 {
		t.say("%s%s of %s users met a failure in %s", lead, display.Count(h.Failed), display.Count(h.Users), lasting(h.To-h.From))
		lead = "        "
	}
	for _, s := range h.Services {
		t.say("%s%s", lead, s.words())
		lead = "        "
	}
	for _, name := range h.mostLost() {
		t.say("%s%s: %s fewer than forecast%s", lead, name, display.Count(uint64(math.Round(h.Lost[name]))), h.seenUntil())
		lead = "        "
	}
	if h.Users == 0 && len(h.Services) == 0 {
		t.say("%snobody that was seen: no observation of %s since", lead, strings.Join(t.Effect.Canonical, ", "))
	}
	for _, service := range h.Unobserved {
		t.say("        hint: no observation names %q; whence catalog proposals", service)
	}
	for _, sql := range h.SQL {
		t.statement(sql, "      ")
	}
}

// mostLost are the conversions that were missed most, three at most.
func (h *Hit) mostLost() []string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(h.Lost)), func(name string) bool { return h.Lost[name] < 1 })
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(h.Lost[b], h.Lost[a]), cmp.Compare(a, b))
	})
	return names[:min(3, len(names))]
}

// seenUntil says how far the forecast reaches, where nothing was seen from then
// on: what did not come after that can't be said to be missing.
func (h *Hit) seenUntil() string {
	if h.LostUntil == 0 || h.To-h.LostUntil < 2*minute { // a minute may not be over
		return ""
	}
	return " until " + clock(h.LostUntil, h.From) + ", when the last was seen"
}

func (s *ServiceHit) words() string {
	text := s.Service
	if !s.Named {
		text = "also " + text
	}
	switch {
	case s.ErrorRate == nil && s.Requests == 0:
		return text + ": no requests were seen"
	case s.ErrorRate == nil:
		return fmt.Sprintf("%s: %s requests", text, display.Count(uint64(s.Requests)))
	case s.Requests > 0:
		text += fmt.Sprintf(": %s of %s requests failed", share(*s.ErrorRate), display.Count(uint64(math.Round(s.Requests))))
	default:
		text += fmt.Sprintf(": %s of requests failed", share(*s.ErrorRate))
	}
	if s.Before != nil {
		text += ", " + share(*s.Before) + " before"
	}
	return text
}

func (t *teller) signal() {
	if t.Signal == nil {
		return
	}
	t.heading(t.Signal.title())
	for _, line := range t.Signal.plot(t.Look) {
		t.say("  %s", line)
	}
	t.statement(t.Signal.SQL, "      ")
}

func (t *teller) hypotheses() {
	if t.Ranking == nil {
		return
	}
	t.heading("Whence it came")
	asOf := ""
	if t.AsOf != 0 {
		asOf = "as it was said at " + t.AsOf.Time().Format(time.DateTime) + ": "
	}
	t.say("  %s", t.faint(fmt.Sprintf("%sranking %d, computed %s UTC by %s", asOf, t.Ranking.Number,
		t.Ranking.ComputedAt.Time().Format(time.DateTime), cmp.Or(t.Ranking.Model, "an unnamed model"))))
	if t.Ranking.Due {
		t.say("  %s", t.bold("more has become known since: a new ranking is due"))
	}
	shown := 0
	for i := range t.Hypotheses {
		h := &t.Hypotheses[i]
		// "No known change" is never left out: it is what there is to say when
		// no change is to blame.
		if t.All || shown < telling || h.Kind == "none" {
			t.hypothesis(h)
			shown++
		}
	}
	if rest := len(t.Hypotheses) - shown; rest > 0 {
		t.say("\n  %s", t.faint(fmt.Sprintf("%d more with %s together: --all shows them", rest, share(t.restOf()))))
	}
}

// restOf is what the hypotheses that are not shown have together.
func (t *teller) restOf() float64 {
	sum := 0.0
	for i, h := range t.Hypotheses {
		if i >= telling && h.Kind != "none" {
			sum += h.Probability
		}
	}
	return sum
}

func (t *teller) hypothesis(h *Hypothesis) {
	t.say("")
	title := h.Name()
	if h.Kind == "none" {
		title += ": nothing that was announced or seen explains it"
	}
	t.say("  %s", t.bold(fmt.Sprintf("%-2d%6s  %s", h.Rank, share(h.Probability), title)))
	if about := h.about(t.Effect.Onset); about != "" {
		t.wrapped("            ", "            ", about)
	}
	terms := t.shown(h.Evidence)
	for _, term := range terms {
		figures := strings.ReplaceAll(fmt.Sprintf("[%s: %s × %s]", term.Name, figure(term.Value), figure(term.Weight)), " ", hardSpace)
		t.wrapped(fmt.Sprintf("    %+7.3f ", term.Contribution), "            ", term.Words+" "+figures)
		t.statement(term.SQL, "            ")
	}
	t.say("    %s", t.sum(h, len(terms)))
}

// shown are the terms that weigh something, or all where all is asked for.
func (t *teller) shown(terms []Term) []Term {
	if t.SQL || t.All {
		return terms
	}
	return slices.DeleteFunc(slices.Clone(terms), func(term Term) bool { return term.Contribution == 0 })
}

// sum is the line under n terms: they add up to the log odds that were stored.
func (t *teller) sum(h *Hypothesis, n int) styled {
	if math.Abs(h.Sum-h.LogOdds) > 1e-6*max(1, math.Abs(h.LogOdds)) {
		return t.red(fmt.Sprintf("%+7.3f log odds as stored, but its %d %s to %+.3f: the evidence is not complete",
			h.LogOdds, n, display.Plural(n, "term adds up", "terms add up"), h.Sum))
	}
	return styled(fmt.Sprintf("= %+.3f log odds, the sum of %d %s", h.LogOdds, n, display.Plural(n, "term", "terms")))
}

// about is what the hypothesis is, in a line.
func (h *Hypothesis) about(onset Moment) string {
	var when string
	switch {
	case h.StartedAt == 0:
	case h.State == "in_progress":
		when = "since " + clock(h.StartedAt, onset)
	case h.EndedAt == 0 || h.EndedAt == h.StartedAt:
		when = "at " + clock(h.StartedAt, onset)
	default:
		when = clock(h.StartedAt, onset) + " to " + clock(h.EndedAt, onset)
	}
	if h.StartedAt != 0 && onset != 0 {
		if lag := onset - h.StartedAt; lag >= 0 {
			when += ", " + lasting(lag) + " before the onset"
		} else {
			when += ", " + lasting(-lag) + " after the onset"
		}
	}
	state := strings.ReplaceAll(h.State, "_", " ")
	if state == "done" {
		state = ""
	}
	return strings.Join(nonempty(h.What, state, when), " · ")
}

// history tells when the leader changed, since when it is said as it is now, and
// what came to be known between.
func (t *teller) history() {
	if len(t.History) == 0 {
		return
	}
	t.heading("What was said when (UTC, by the clock of who ranked)")
	late, first, last := t.Late, t.History[0].ComputedAt, t.lastNews()
	for i, said := range t.History {
		for len(late) > 0 && late[0].KnownAt <= said.ComputedAt {
			t.lateFact(late[0], first)
			late = late[1:]
		}
		if said.Changed || i == last {
			t.say("  %s  %s %s", clock(said.ComputedAt, first), share(said.Probability), causeName(said.Kind, said.ID, said.Service))
		}
	}
	for _, f := range late {
		t.lateFact(f, first)
	}
}

// lastNews is the first of the last rankings that put the same cause first with
// the same share: an effect is ranked again whenever something it was ranked by is
// another.
func (t *teller) lastNews() int {
	i := len(t.History) - 1
	for i > 0 && !t.History[i].Changed && share(t.History[i].Probability) == share(t.History[i-1].Probability) {
		i--
	}
	return i
}

func (t *teller) lateFact(f LateFact, day Moment) {
	verb := "learned"
	if f.Retracted {
		verb = "retracted:"
	}
	t.say("  %s", t.faint(fmt.Sprintf("%s  %s %s of %s %s, which was at %s", clock(f.KnownAt, day), verb,
		strings.TrimPrefix(f.Type, "io.whence."), f.EntityKind, f.EntityID, clock(f.Time, t.Effect.Onset))))
}

func (t *teller) confirmed() {
	if len(t.Confirmed) == 0 {
		return
	}
	t.heading("Confirmed")
	for _, c := range t.Confirmed {
		rank := "which was not among the hypotheses"
		if c.RankShown > 0 {
			rank = fmt.Sprintf("shown at rank %d then", c.RankShown)
		}
		t.say("  %s  %s, by %s, %s", clock(c.At, t.Effect.Onset), causeName(c.Kind, c.ID, ""), c.By, rank)
	}
}

func (t *teller) deployment() {
	d := t.Deployment
	t.say("%s", t.bold(fmt.Sprintf("deployment %s  %s %s", d.ID, d.Service, d.Version)))
	before := ""
	if d.PreviousVersion != "" {
		before = "before it " + d.PreviousVersion
	}
	state := strings.ReplaceAll(d.State, "_", " ")
	if d.Percent != nil && d.EndedAt == 0 {
		state += fmt.Sprintf(" at %g %%", *d.Percent)
	}
	t.wrapped("  ", "  ", strings.Join(nonempty(d.Service+in(d.Environment), before, state, named("takes back ", d.RollbackOf), named("asked for by ", d.RequestedBy)), " · "))
	span := "  began " + d.StartedAt.Time().Format("2006-01-02 15:04:05 UTC")
	if d.EndedAt != 0 {
		span += fmt.Sprintf(", ended %s, after %s", clock(d.EndedAt, d.StartedAt), lasting(d.EndedAt-d.StartedAt))
	}
	t.say("%s", span)
	t.statement(d.SQL, "      ")
	t.signal()
	t.heading("What it changed")
	if len(d.Changes) == 0 {
		t.say("  nobody said which changes it carries")
	}
	for _, c := range d.Changes {
		t.say("  %s", strings.Join(nonempty(c.ID, c.Title, named("by ", c.Author), c.Repository), " · "))
	}
	t.blamed()
}

func (t *teller) blamed() {
	t.heading("What blames it")
	if len(t.Blamed) == 0 {
		t.say("  nothing: no effect that was ranked has it among its hypotheses")
	}
	for _, b := range t.Blamed {
		t.say("  %5s  %s %s of %s, since %s: rank %d", share(b.Probability), b.Kind, b.ID, b.Service, b.Onset.Time().Format(time.DateTime), b.Rank)
		if b.Words != "" && b.Rank == 1 {
			t.wrapped("         ", "         ", b.Words)
		}
	}
}

func nonempty(parts ...string) []string {
	var some []string
	for _, p := range parts {
		if p != "" {
			some = append(some, p)
		}
	}
	return some
}

func in(environment string) string { return named(" in ", environment) }

// named is word and what, or nothing without what.
func named(word, what string) string {
	if what == "" {
		return ""
	}
	return word + what
}

// share is a probability or a rate for people: never 0 or 100 unless it is.
func share(p float64) string {
	switch {
	case p > 0 && p < 0.001:
		return "<0.1 %"
	case p > 0 && p < 0.0995:
		return fmt.Sprintf("%.1f %%", 100*p)
	case p < 1 && p >= 0.995:
		return ">99 %"
	}
	return fmt.Sprintf("%.0f %%", 100*p)
}

// figure is a number with the digits that matter.
func figure(v float64) string { return fmt.Sprintf("%.4g", v) }

// lasting is a length of time for people.
func lasting(m Moment) string {
	d := m.Time().Sub(Moment(0).Time())
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Round(time.Hour).Hours()/24))
}

// clock is the time of day, with the day where it is not that of near.
func clock(at, near Moment) string {
	if at.Time().Format(time.DateOnly) == near.Time().Format(time.DateOnly) {
		return at.Time().Format(time.TimeOnly)
	}
	return at.Time().Format(time.DateTime)
}
