package timeline_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// The alphabets are so small that everything collides: names, ids, times.
var (
	anyTime        = rapid.Map(rapid.IntRange(1, 14), func(i int) event.Millis { return event.Millis(i) })
	anyTimeOrNone  = rapid.Map(rapid.IntRange(-14, 14), func(i int) event.Millis { return event.Millis(max(i, 0)) })
	anySource      = rapid.SampledFrom([]string{"s", "t"})
	anyID          = rapid.SampledFrom([]string{"1", "2", "3", "4", "5"})
	anyService     = rapid.SampledFrom([]string{"a", "b", "c", "d", ""})
	anyEnvironment = rapid.SampledFrom([]string{"p", "p", "q", ""})
	anyVersion     = rapid.SampledFrom([]string{"v1", "1", "abcdef1", "abcdef12", "", ""})
	anyRevision    = rapid.SampledFrom([]string{"r1", "r2", "r3", ""})
	anyRepository  = rapid.SampledFrom([]string{"x", "y", "z", ""})
	anyInstance    = rapid.SampledFrom([]string{"i1", "i2", ""})
	anySeverity    = rapid.SampledFrom([]string{"critical", "high", "low", "sev2", "sev1", "", ""})
	anyPercent     = rapid.SampledFrom([]float64{event.Unknown, event.Unknown, 0, 20, 99.5, 100, 150})
	anyOutcome     = rapid.SampledFrom([]string{"success", "success", "failure", "cancelled", "rolled_back", "other"})
	anyEntity      = rapid.SampledFrom([]string{"e1", "e2", "e3"})
	anyWord        = rapid.SampledFrom([]string{"w1", "w2", ""})
)

func some[T any](g *rapid.Generator[T]) *rapid.Generator[[]T] { return rapid.SliceOfN(g, 0, 2) }

// anyFact draws a fact whose hash is a function of its content, as a real one's.
func anyFact(t *rapid.T) event.Fact {
	f := event.Fact{}
	f.Time, f.Source, f.ID = anyTime.Draw(t, "time"), anySource.Draw(t, "source"), anyID.Draw(t, "id")
	f.Type, f.Payload = anyPayload(t)
	if d, ok := f.Payload.(*event.Deployment); ok && d.Percent != d.Percent {
		f.Hash = contentHash(f, "unstated")
	} else {
		f.Hash = contentHash(f, f.Payload)
	}
	return f
}

func contentHash(f event.Fact, payload any) uint64 {
	said := fmt.Sprintf("%v", f.Payload)
	if text, err := json.Marshal(payload); err == nil {
		said += string(text)
	}
	h := fnv.New64a()
	fmt.Fprint(h, f.Time, f.Source, f.ID, f.Type, said)
	return h.Sum64()
}

func anyPayload(t *rapid.T) (typ string, payload any) {
	switch rapid.IntRange(0, 21).Draw(t, "kind") {
	case 0, 1:
		return "declared", &event.Declaration{
			Service: anyService.Draw(t, "service"), Environment: anyEnvironment.Draw(t, "environment"),
			Owner: anyWord.Draw(t, "owner"), Tier: anyWord.Draw(t, "tier"),
			Repositories: some(anyRepository).Draw(t, "repositories"), Aliases: some(anyService).Draw(t, "aliases"),
		}
	case 2:
		i := &event.Identity{Kind: rapid.SampledFrom([]string{"service", "service", "repository", "repository", "person"}).Draw(t, "kind of name")}
		names := anyService
		if i.Kind == "repository" {
			names = anyRepository
		}
		i.Canonical, i.Alias = names.Draw(t, "canonical"), names.Draw(t, "alias")
		return "identity", i
	case 3:
		return "change", &event.Change{
			ChangeID: anyEntity.Draw(t, "change"), Revision: anyRevision.Draw(t, "revision"), Commits: some(anyRevision).Draw(t, "commits"),
		}
	case 4, 5, 6, 7, 8:
		return anyDeployment(t)
	case 9:
		return "flag", &event.Flag{
			Flag: anyEntity.Draw(t, "flag"), Environment: anyEnvironment.Draw(t, "environment"),
			Services: some(anyService).Draw(t, "services"), Rules: anyWord.Draw(t, "rules"),
		}
	case 10, 11, 12:
		return anyIncident(t)
	case 13, 14, 15:
		return anyFinding(t)
	case 18, 19, 20, 21:
		return "scan", anyScan(t)
	case 16:
		return "retracted", &event.Retraction{Source: anySource.Draw(t, "retracted source"), ID: anyID.Draw(t, "retracted id")}
	}
	return "build", nil
}

func anyDeployment(t *rapid.T) (string, any) {
	d := &event.Deployment{
		Stage:        event.Stage(rapid.IntRange(1, 3).Draw(t, "stage")),
		DeploymentID: anyEntity.Draw(t, "deployment"), Service: anyService.Draw(t, "service"), Environment: anyEnvironment.Draw(t, "environment"),
		Version: anyVersion.Draw(t, "version"), PreviousVersion: anyVersion.Draw(t, "previous"),
		Revisions: some(anyRevision).Draw(t, "revisions"), InstancesAdded: some(anyInstance).Draw(t, "instances"),
		Percent: anyPercent.Draw(t, "percent"),
	}
	if d.Stage == event.Finished {
		d.Outcome = anyOutcome.Draw(t, "outcome")
	}
	return fmt.Sprint("deployment", d.Stage), d
}

func anyIncident(t *rapid.T) (string, any) {
	i := &event.Incident{
		Stage:      event.IncidentStage(rapid.IntRange(1, 6).Draw(t, "stage")),
		IncidentID: anyEntity.Draw(t, "incident"), Service: anyService.Draw(t, "service"), Services: some(anyService).Draw(t, "services"),
		Environment: anyEnvironment.Draw(t, "environment"), Severity: anySeverity.Draw(t, "severity"),
		StartedAt: anyTimeOrNone.Draw(t, "started"), EndedAt: anyTimeOrNone.Draw(t, "ended"),
	}
	return fmt.Sprint("incident", i.Stage), i
}

// anyScan is mostly of two parts, mostly whole.
func anyScan(t *rapid.T) any {
	s := &event.Scan{
		Tool: rapid.SampledFrom([]string{"x", "x", "y"}).Draw(t, "tool"), Target: "t", ScanID: rapid.SampledFrom([]string{"n1", "n2", "n3", "n4"}).Draw(t, "scan"),
		Part: rapid.IntRange(1, 2).Draw(t, "part"), Parts: rapid.SampledFrom([]int{0, 1, 1, 2, 2, 3}).Draw(t, "parts"),
		Partial: rapid.IntRange(0, 9).Draw(t, "partial") == 0,
	}
	for range rapid.IntRange(0, 3).Draw(t, "listed") {
		_, f := anyFinding(t)
		s.Findings = append(s.Findings, *f.(*event.Finding))
	}
	return s
}

func anyFinding(t *rapid.T) (string, any) {
	f := &event.Finding{
		Stage:     event.FindingStage(rapid.IntRange(1, 3).Draw(t, "stage")),
		FindingID: anyEntity.Draw(t, "finding"), Service: anyService.Draw(t, "service"), Environment: anyEnvironment.Draw(t, "environment"),
		Repository: anyRepository.Draw(t, "repository"), RevisionIntroduced: anyRevision.Draw(t, "introduced"),
		FirstSeen: anyTimeOrNone.Draw(t, "first seen"),
	}
	return fmt.Sprint("finding", f.Stage), f
}

// everyObservation asks of every service and environment at every time, also of
// such that no fact names.
func everyObservation() []event.Observation {
	var all []event.Observation
	for _, service := range []string{"a", "b", "c", "d", "", "stranger"} {
		for _, environment := range []string{"p", "q", "", "elsewhere"} {
			for t := event.Millis(0); t <= 15; t++ {
				for _, says := range [][2]string{{"", ""}, {"v1", ""}, {"abcdef1", "i1"}, {"1", ""}, {"abcdef12", ""}, {"", "i1"}, {"", "i2"}, {"v9", "i9"}} {
					o := event.Observation{Service: service, Environment: environment, Version: says[0], Instance: says[1]}
					o.Time = t
					all = append(all, o)
				}
			}
		}
	}
	return all
}

var asked = everyObservation()

// differs asks tl what the facts should answer and describes the first
// difference, if any.
func differs(tl *timeline.Timeline, facts []event.Fact, obs []event.Observation) string {
	m := model.New(facts)
	got := make([]event.Enrichment, len(obs))
	tl.Enrich(obs, got)
	for i := range obs {
		want := m.Answer(obs[i])
		if g, w := said(got[i]), said(want); g != w {
			return fmt.Sprintf("%s/%s at %d, version %q, instance %q:\n got %s\nwant %s",
				obs[i].Service, obs[i].Environment, obs[i].Time, obs[i].Version, obs[i].Instance, g, w)
		}
	}
	return ""
}

// said writes an enrichment without its revision, empty and absent lists alike.
func said(e event.Enrichment) string {
	e.Revision = 0
	return fmt.Sprintf("%+v", e)
}

func sample(t *rapid.T) []event.Observation {
	from := rapid.IntRange(0, len(asked)-1).Draw(t, "first observation")
	step := rapid.SampledFrom([]int{37, 53, 101}).Draw(t, "step")
	var some []event.Observation
	for i := range 40 {
		some = append(some, asked[(from+i*step)%len(asked)])
	}
	return some
}

func TestTheTimelineAnswersAsTheModelForAnyOrderDuplicationAndBatching(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(anyFact), 1, 30).Draw(t, "facts")
		again := rapid.SliceOfN(rapid.SampledFrom(facts), 0, 10).Draw(t, "duplicates")
		arriving := rapid.Permutation(append(slices.Clone(facts), again...)).Draw(t, "order of arrival")
		tl := timeline.New()
		for rest := arriving; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			tl.Apply(rest[:n])
			rest = rest[n:]
			if d := differs(tl, arriving[:len(arriving)-len(rest)], sample(t)); d != "" {
				t.Fatalf("after %d facts: %s", len(arriving)-len(rest), d)
			}
		}
	})
}

func TestEveryObservationOfAFullSetIsAnsweredAsTheModelDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(anyFact), 1, 60).Draw(t, "facts")
		tl := timeline.New()
		tl.Apply(facts)
		obs := sample(t)
		if d := differs(tl, facts, obs); d != "" {
			t.Fatal(d)
		}
	})
}

func TestNoRowIsWiderThanTheWidthOfItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := timeline.New()
		tl.Apply(rapid.SliceOfN(rapid.Custom(anyFact), 1, 60).Draw(t, "facts"))
		obs := sample(t)
		out := make([]event.Enrichment, len(obs))
		tl.Enrich(obs, out)
		for i := range out {
			e := &out[i]
			width := len(strings.Join(slices.Concat(e.IncidentIDs, e.FindingIDs, e.RolloutIDs), ""))
			for _, f := range e.Flags {
				width += len(f.Key) + len(f.Value)
			}
			if widest := tl.Width(obs[i].Time); width > widest {
				t.Fatalf("%d bytes, and the widest row has %d: %+v", width, widest, e)
			}
		}
	})
}

// aScanOrSo draws what concerns three findings of one service: scans of one
// target that are mostly whole, and what else opens, closes and unsays.
func aScanOrSo(t *rapid.T) event.Fact {
	f := event.Fact{}
	f.Time, f.Source, f.ID, f.Type = anyTime.Draw(t, "time"), "s", fmt.Sprint(rapid.IntRange(1, 40).Draw(t, "id")), "scan"
	listed := func() event.Finding {
		return event.Finding{
			FindingID: anyEntity.Draw(t, "finding"), Service: "a",
			Stage: event.FindingStage(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 3}).Draw(t, "status")),
		}
	}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		d := listed()
		f.Type, f.Payload = fmt.Sprint("finding", d.Stage), &d
	case 1:
		f.Type, f.Payload = "retracted", &event.Retraction{Source: "s", ID: fmt.Sprint(rapid.IntRange(1, 40).Draw(t, "retracted id"))}
	default:
		s := &event.Scan{Tool: "x", Target: "t", ScanID: fmt.Sprint(rapid.IntRange(1, 9).Draw(t, "scan")), Part: 1, Parts: 1}
		if rapid.IntRange(0, 3).Draw(t, "parts") == 0 {
			s.Part, s.Parts = rapid.IntRange(1, 2).Draw(t, "part"), 2
		}
		for range rapid.IntRange(0, 2).Draw(t, "listed") {
			s.Findings = append(s.Findings, listed())
		}
		f.Payload = s
	}
	f.Hash = contentHash(f, f.Payload)
	return f
}

func TestWhatScansFindAndMissIsAsTheModelSaysForAnyOrderAndBatching(t *testing.T) {
	var asks []event.Observation
	for at := event.Millis(0); at <= 15; at++ {
		o := event.Observation{Service: "a", Environment: "p"}
		o.Time = at
		asks = append(asks, o)
	}
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(aScanOrSo), 2, 20).Draw(t, "facts")
		again := rapid.SliceOfN(rapid.SampledFrom(facts), 0, 4).Draw(t, "duplicates")
		arriving := rapid.Permutation(append(slices.Clone(facts), again...)).Draw(t, "order of arrival")
		tl := timeline.New()
		for rest := arriving; len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 4)).Draw(t, "batch")
			tl.Apply(rest[:n])
			rest = rest[n:]
			if d := differs(tl, arriving[:len(arriving)-len(rest)], asks); d != "" {
				t.Fatalf("after %d facts: %s", len(arriving)-len(rest), d)
			}
		}
	})
}

// Of the few kinds of facts that say whose a finding in a repository is, in any
// order: a name that gets another meaning, or loses it, takes findings along.
func TestFindingsFollowTheNamesOfRepositories(t *testing.T) {
	name := rapid.SampledFrom([]string{"w", "x", "y", "z"})
	fact := rapid.Custom(func(t *rapid.T) event.Fact {
		f := event.Fact{}
		f.Time, f.Source, f.ID = anyTime.Draw(t, "time"), "s", rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6", "7", "8"}).Draw(t, "id")
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			f.Type, f.Payload = "declared", &event.Declaration{Service: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "service"), Repositories: []string{name.Draw(t, "repository")}}
		case 1, 2:
			f.Type, f.Payload = "finding", &event.Finding{Stage: event.FindingOpened, FindingID: anyEntity.Draw(t, "finding"), Repository: name.Draw(t, "in")}
		case 3:
			f.Type, f.Payload = "retracted", &event.Retraction{Source: "s", ID: rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "retracted")}
		default:
			f.Type, f.Payload = "identity", &event.Identity{Kind: "repository", Alias: name.Draw(t, "alias"), Canonical: name.Draw(t, "canonical")}
		}
		f.Hash = contentHash(f, f.Payload)
		return f
	})
	var asks []event.Observation
	for _, service := range []string{"a", "b"} {
		o := event.Observation{Service: service, Environment: "p"}
		o.Time = 15
		asks = append(asks, o)
	}
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(fact, 1, 14).Draw(t, "facts")
		tl := timeline.New()
		tl.Journal()
		for i := range facts {
			tl.Apply(facts[i : i+1])
			if d := differs(tl, facts[:i+1], asks); d != "" {
				t.Fatal(d)
			}
		}
	})
}
