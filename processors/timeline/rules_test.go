package timeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/whencehq/whence/processors/timeline"
	"github.com/whencehq/whence/schemas/event"
)

// at makes a fact of what was said at a time, by its place in the list.
func at(t event.Millis, payload any) event.Fact {
	f := event.Fact{Payload: payload}
	f.Time, f.Source = t, "source"
	f.Type = fmt.Sprintf("%T", payload)
	return f
}

func (c ruleCase) stated() []event.Fact {
	facts := slices.Clone(c.facts)
	for i := range facts {
		if facts[i].ID == "" {
			facts[i].ID = fmt.Sprintf("fact %02d", i)
		}
		if facts[i].Hash == 0 {
			facts[i].Hash = uint64(i + 1)
		}
	}
	return facts
}

func named(id string, hash uint64, f event.Fact) event.Fact {
	f.ID, f.Hash = id, hash
	return f
}

// A deployment of service "shop" in "prod" that says nothing else.
func stage(s event.Stage, id, version string, also ...func(*event.Deployment)) *event.Deployment {
	d := &event.Deployment{
		Stage: s, DeploymentID: id, Service: "shop", Environment: "prod", Version: version, Percent: event.Unknown,
	}
	for _, a := range also {
		a(d)
	}
	return d
}

func started(id, version string, also ...func(*event.Deployment)) *event.Deployment {
	return stage(event.Started, id, version, also...)
}

func progressed(id string, percent float64, also ...func(*event.Deployment)) *event.Deployment {
	d := stage(event.Progressed, id, "", also...)
	d.Percent = percent
	return d
}

func finished(id, version, outcome string, also ...func(*event.Deployment)) *event.Deployment {
	d := stage(event.Finished, id, version, also...)
	d.Outcome = outcome
	return d
}

func adding(instances ...string) func(*event.Deployment) {
	return func(d *event.Deployment) { d.InstancesAdded = instances }
}

func carrying(revisions ...string) func(*event.Deployment) {
	return func(d *event.Deployment) { d.Revisions = revisions }
}

func after(previous string) func(*event.Deployment) {
	return func(d *event.Deployment) { d.PreviousVersion = previous }
}

func incident(s event.IncidentStage, severity string) *event.Incident {
	return &event.Incident{Stage: s, IncidentID: "inc", Service: "shop", Environment: "prod", Severity: severity}
}

func finding(s event.FindingStage) *event.Finding {
	return &event.Finding{Stage: s, FindingID: "cve", Service: "shop"}
}

func declared(owner, tier string) *event.Declaration {
	return &event.Declaration{Service: "shop", Owner: owner, Tier: tier}
}

// asks is an observation of "shop" in "prod".
func asks(t event.Millis, version, instance string) event.Observation {
	o := event.Observation{Service: "shop", Environment: "prod", Version: version, Instance: instance}
	o.Time = t
	return o
}

// ruleCase says what one column reads at a time; columns are compared as text.
type ruleCase struct {
	rule  string
	facts []event.Fact
	asks  event.Observation
	reads func(event.Enrichment) any
	want  any
}

func deployment(e event.Enrichment) any { return e.DeploymentID }
func rollouts(e event.Enrichment) any   { return e.RolloutIDs }
func incidents(e event.Enrichment) any  { return e.IncidentIDs }
func severity(e event.Enrichment) any   { return e.IncidentSeverity }
func findings(e event.Enrichment) any   { return e.FindingIDs }
func owner(e event.Enrichment) any      { return e.Owner }
func flags(e event.Enrichment) any      { return e.Flags }
func previous(e event.Enrichment) any   { return e.PreviousVersion }
func versions(e event.Enrichment) any   { return [2]string{e.DeployedVersion, e.PreviousVersion} }
func age(e event.Enrichment) any        { return e.DeploymentAgeMS }
func percent(e event.Enrichment) any    { return e.RolloutPercent }
func changes(e event.Enrichment) any    { return e.ChangeIDs }
func canonical(e event.Enrichment) any  { return e.CanonicalService }

func TestEachRuleHoldsInAnyOrderOfArrival(t *testing.T) {
	for _, c := range slices.Concat(factRules(), deploymentRules(), incidentRules(), contextRules()) {
		t.Run(c.rule, func(t *testing.T) {
			facts := c.stated()
			random := rand.New(rand.NewPCG(1, 2))
			for range 10 {
				tl := timeline.New()
				for i := range facts {
					tl.Apply(facts[i : i+1])
				}
				out := make([]event.Enrichment, 1)
				tl.Enrich([]event.Observation{c.asks}, out)
				if got := fmt.Sprint(c.reads(out[0])); got != fmt.Sprint(c.want) {
					t.Fatalf("got %s, want %v", got, c.want)
				}
				random.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
			}
		})
	}
}

func factRules() []ruleCase {
	twins := []event.Fact{
		named("one", 2, at(10, declared("greater", ""))), named("one", 1, at(20, declared("lesser", ""))),
	}
	unsaid := &event.Retraction{Source: "source", ID: "said"}
	retracted := []event.Fact{named("said", 1, at(10, declared("ann", ""))), named("sorry", 2, at(5, unsaid))}
	back := append(slices.Clone(retracted), named("not sorry", 3, at(6, &event.Retraction{Source: "source", ID: "sorry"})))
	tooEarly := append(slices.Clone(retracted), named("not sorry", 3, at(4, &event.Retraction{Source: "source", ID: "sorry"})))
	itself := append(slices.Clone(retracted[:1]), named("loop", 2, at(5, &event.Retraction{Source: "source", ID: "loop"})), retracted[1])
	chain := []event.Fact{
		at(1, &event.Identity{Kind: "service", Alias: "store", Canonical: "mall"}),
		at(2, &event.Identity{Kind: "service", Alias: "mall", Canonical: "shop"}),
		at(3, declared("ann", "")),
	}
	cycle := []event.Fact{
		at(1, &event.Identity{Kind: "service", Alias: "shop", Canonical: "mall"}),
		at(2, &event.Identity{Kind: "service", Alias: "mall", Canonical: "shop"}),
	}
	store := asks(0, "", "")
	store.Service = "store"
	return []ruleCase{
		{"R1 of two contents the greater hash counts, though it is earlier", twins, asks(30, "", ""), owner, "greater"},
		{"R2 at one time the greater id is later", []event.Fact{named("b", 1, at(10, declared("b", ""))), named("a", 9, at(10, declared("a", "")))}, asks(10, "", ""), owner, "b"},
		{"R3 a retraction unsays what happened after it", retracted, asks(30, "", ""), owner, ""},
		{"R3 a later retraction undoes a retraction", back, asks(30, "", ""), owner, "ann"},
		{"R3 an earlier retraction does not undo a retraction", tooEarly, asks(30, "", ""), owner, ""},
		{"R3 a retraction of itself changes nothing", itself, asks(30, "", ""), owner, ""},
		{"R5 an alias holds before it was said", chain, store, owner, "ann"},
		{"R5 the last word on an alias counts", append(slices.Clone(chain), at(9, &event.Identity{Kind: "service", Alias: "store", Canonical: "other"})), store, canonical, "other"},
		{"R5 a name of another kind is no alias", []event.Fact{at(1, &event.Identity{Kind: "person", Alias: "store", Canonical: "shop"})}, store, canonical, "store"},
		{"R6 a chain of aliases is followed", chain, store, canonical, "shop"},
		{"R6 a cycle means its least name", cycle, asks(0, "", ""), canonical, "mall"},
	}
}

func deploymentRules() []ruleCase {
	done := []event.Fact{at(10, started("d1", "v1")), at(20, finished("d1", "v1", "success"))}
	two := append(slices.Clone(done), at(30, started("d2", "v2", carrying("r1"))), at(40, finished("d2", "v2", "success")))
	failing := func(outcome string) []event.Fact {
		return append(slices.Clone(done), at(30, started("d2", "v2", adding("i2"))), at(35, progressed("d2", 100)), at(40, finished("d2", "", outcome)))
	}
	rolling := append(slices.Clone(done), at(30, started("d2", "v2")), at(35, progressed("d2", 20)), at(40, progressed("d2", 60, adding("i2"))))
	merged := &event.Change{ChangeID: "c2", Revision: "r9", Commits: []string{"r1"}}
	web := append(slices.Clone(done), at(15, started("d0", "v0", adding("web-0"))), at(50, started("d3", "v3", adding("web-0"))))
	stages := []event.Fact{at(50, started("d1", "clock ahead")), at(20, finished("d1", "last stage", "success"))}
	return []ruleCase{
		{"R8 the last stage's word counts, whatever the clocks say", stages, asks(60, "", ""), versions, [2]string{"last stage", ""}},
		{"R9 a deployment known only by its finish starts then", done[1:], asks(25, "", ""), age, 5},
		{"R9 age counts from the start", done, asks(25, "", ""), age, 15},
		{"R10 the end is outside the rollout", done, asks(20, "", ""), rollouts, []string{}},
		{"R11 a percent of 100 completes", failing("success"), asks(35, "", ""), deployment, "d2"},
		{"R11 before its completion the last one counts", two, asks(39, "", ""), deployment, "d1"},
		{"R11 the moment of completion is inside", two, asks(40, "", ""), deployment, "d2"},
		{"R12 a failure at t excludes", failing("failure"), asks(40, "", ""), deployment, "d1"},
		{"R12 a cancellation at t excludes", failing("cancelled"), asks(40, "", ""), deployment, "d1"},
		{"R12 what is rolled back later still ran before", failing("rolled_back"), asks(39, "", ""), deployment, "d2"},
		{"R12 a failed deployment is no version's either", failing("rolled_back"), asks(41, "v2", ""), deployment, ""},
		{"R13 a stated version wins over completion", rolling, asks(36, "v2", ""), deployment, "d2"},
		{"R13 a version is found in any spelling", rolling, asks(36, "2", ""), deployment, "d2"},
		{"R16 a version is told as the deployment spells it", rolling, asks(36, "V2", ""), versions, [2]string{"v2", "v1"}},
		{"R13 a version not started yet finds nothing", two, asks(29, "v2", ""), deployment, ""},
		{"R13 a version nobody deployed stays as stated and has no previous", two, asks(60, "v9", "i2"), versions, [2]string{"v9", ""}},
		{"R13 a version nobody deployed has no age", two, asks(60, "v9", ""), age, event.NoAge},
		{"R14 an instance belongs to the deployment that added it", rolling, asks(36, "", "i2"), deployment, "d2"},
		{"R14 of two that added an instance the later started counts", web, asks(60, "", "web-0"), deployment, "d3"},
		{"R14 an instance belongs to nobody before the start", web, asks(49, "", "web-0"), deployment, "d0"},
		{"R14 an instance of a failed deployment falls to completion", failing("failure"), asks(41, "", "i2"), deployment, "d1"},
		{"R14 an unknown instance falls to completion", two, asks(60, "", "stranger"), deployment, "d2"},
		{"R15 nothing completed leaves all empty", two, asks(15, "", ""), versions, [2]string{"", ""}},
		{"R16 previous is what was completed last before the start", two, asks(45, "", ""), previous, "v1"},
		{"R16 previous is what is stated, where it is", append(slices.Clone(two), at(32, started("d2", "v2", after("v0")))), asks(45, "", ""), previous, "v0"},
		{"R16 what completed at the start is not before it", []event.Fact{at(30, finished("d1", "v1", "success")), at(30, started("d2", "v2"))}, asks(31, "v2", ""), previous, ""},
		{"R17 changes are those whose commits the deployment carries", append(slices.Clone(two), at(90, merged)), asks(45, "", ""), changes, []string{"c2"}},
		{"R17 another deployment does not carry them", append(slices.Clone(two), at(90, merged)), asks(25, "", ""), changes, []string{}},
		{"R18 what is in progress is a rollout", rolling, asks(36, "", ""), rollouts, []string{"d2"}},
		{"R18 rollouts are in the order of their starts", append(slices.Clone(rolling), at(31, started("a", "v3"))), asks(36, "", ""), rollouts, []string{"d2", "a"}},
		{"R18 the percent is the last stated by then", rolling, asks(39, "", ""), percent, 20},
		{"R18 the percent is 0 before any", rolling, asks(34, "", ""), percent, 0},
	}
}

func incidentRules() []ruleCase {
	moved, late := incident(event.IncidentUpdated, "critical"), incident(event.IncidentResolved, "")
	moved.StartedAt, late.EndedAt = 5, 28
	opened := at(10, incident(event.IncidentOpened, "high"))
	over := []event.Fact{opened, at(30, incident(event.IncidentResolved, ""))}
	again := append(slices.Clone(over), at(40, incident(event.IncidentReopened, "")), at(50, incident(event.IncidentResolved, "")))
	retold := []event.Fact{opened, at(35, moved)}
	other := &event.Incident{Stage: event.IncidentOpened, IncidentID: "a", Service: "x", Services: []string{"shop"}, Environment: "prod", Severity: "critical"}
	odd := &event.Incident{Stage: event.IncidentOpened, IncidentID: "b", Service: "shop", Environment: "prod", Severity: "sev1"}
	open := []string{"inc"}
	return []ruleCase{
		{"R20 services are all those named", []event.Fact{opened, at(10, other)}, asks(20, "", ""), incidents, []string{"a", "inc"}},
		{"R21 an incident is open from its opening", over, asks(10, "", ""), incidents, open},
		{"R21 a stated onset holds for all time", retold, asks(5, "", ""), incidents, open},
		{"R21 an incident that nobody opened yet opens with its first fact", []event.Fact{at(12, incident(event.IncidentAcknowledged, ""))}, asks(12, "", ""), incidents, open},
		{"R22 the resolution is outside", over, asks(30, "", ""), incidents, []string{}},
		{"R22 a stated end wins over the resolution's time", []event.Fact{opened, at(30, late)}, asks(28, "", ""), incidents, []string{}},
		{"R22 of two resolutions the earlier ends it", append(slices.Clone(over), at(35, incident(event.IncidentResolved, ""))), asks(32, "", ""), incidents, []string{}},
		{"R22 between two episodes it is closed", again, asks(35, "", ""), incidents, []string{}},
		{"R22 reopened it is open again", again, asks(49, "", ""), incidents, open},
		{"R22 the second episode ends too", again, asks(50, "", ""), incidents, []string{}},
		{"R22 merging ends an incident", []event.Fact{opened, at(20, incident(event.IncidentMerged, ""))}, asks(20, "", ""), incidents, []string{}},
		{"R22 an unresolved episode lasts until the next", []event.Fact{opened, at(20, incident(event.IncidentReopened, "")), at(30, incident(event.IncidentResolved, ""))}, asks(15, "", ""), incidents, open},
		{"R24 severity is the last stated by then", retold, asks(34, "", ""), severity, "high"},
		{"R24 a severity holds from its event on", retold, asks(35, "", ""), severity, "critical"},
		{"R24 before any, the first stated", retold, asks(7, "", ""), severity, "high"},
		{"R24 the worst of several counts", []event.Fact{opened, at(10, other)}, asks(20, "", ""), severity, "critical"},
		{"R24 an unknown severity is the least of the stated", []event.Fact{opened, at(10, odd)}, asks(20, "", ""), severity, "high"},
	}
}

func contextRules() []ruleCase {
	flag := func(rules string, services ...string) *event.Flag {
		return &event.Flag{Flag: "f", Environment: "prod", Rules: rules, Services: services}
	}
	switched := []event.Fact{at(10, flag("all")), at(20, flag("mine", "shop")), at(30, flag("theirs", "x")), at(40, flag("all again"))}
	rule := func(r string) []event.Pair { return []event.Pair{{Key: "f", Value: r}} }
	vulnerable, everywhere := finding(event.FindingOpened), finding(event.FindingOpened)
	vulnerable.RevisionIntroduced, vulnerable.FirstSeen = "r1", 90
	everywhere.Service, everywhere.Repository = "", "repo"
	listing := declared("", "")
	listing.Repositories = []string{"repo"}
	listingElse := declared("", "")
	listingElse.Repositories = []string{"git.example/repo"}
	sameRepository := &event.Identity{Kind: "repository", Alias: "repo", Canonical: "git.example/repo"}
	carried := []event.Fact{at(10, started("d1", "v1", carrying("r1"))), at(20, finished("d1", "", "success")), at(95, vulnerable)}
	withdrawn := []event.Fact{
		named("deployed", 1, at(99, finished("d1", "v1", "success", carrying("r1")))), at(95, vulnerable),
		at(20, &event.Retraction{Source: "source", ID: "deployed"}),
	}
	closed := []event.Fact{at(10, finding(event.FindingOpened)), at(30, finding(event.FindingAccepted))}
	scan := func(id string, listed ...*event.Finding) *event.Scan {
		s := &event.Scan{Tool: "sift", Target: "repo", ScanID: id, Part: 1, Parts: 1}
		for _, l := range listed {
			s.Findings = append(s.Findings, *l)
		}
		return s
	}
	partial, other := scan("n2"), scan("n2")
	partial.Partial, other.Target = true, "repo2"
	half, rest := scan("n2"), scan("n2", finding(event.FindingOpened))
	half.Parts, rest.Part, rest.Parts = 0, 2, 2
	seen := at(10, scan("n1", finding(event.FindingOpened)))
	missed := []event.Fact{seen, at(20, scan("n2")), at(30, scan("n3"))}
	seenAgain := append(slices.Clone(missed), at(40, scan("n4", finding(event.FindingOpened))))
	byHand := append(slices.Clone(missed), at(25, finding(event.FindingOpened)))
	accepting := scan("n2", finding(event.FindingAccepted))
	reopened := append(slices.Clone(closed), at(40, finding(event.FindingOpened)))
	staging := declared("bob", "")
	staging.Environment = "staging"
	cat := []event.Fact{at(10, declared("ann", "")), at(20, declared("", "1")), at(30, declared("eve", "2")), at(25, staging)}
	open := []string{"cve"}
	return []ruleCase{
		{"R19 a flag for everybody is mine", switched, asks(15, "", ""), flags, rule("all")},
		{"R19 a flag for me replaces it", switched, asks(25, "", ""), flags, rule("mine")},
		{"R19 a flag for others changes nothing", switched, asks(35, "", ""), flags, rule("mine")},
		{"R19 the last word counts, for me or for everybody", switched, asks(45, "", ""), flags, rule("all again")},
		{"R19 no flag is in force before its first change", switched, asks(9, "", ""), flags, []event.Pair{}},
		{"R25 a finding without a service is of those that list its repository", []event.Fact{at(10, everywhere), at(99, listing)}, asks(50, "", ""), findings, open},
		{"R25 a repository may have two names", []event.Fact{at(10, everywhere), at(99, listingElse), at(98, sameRepository)}, asks(50, "", ""), findings, open},
		{"R25 and two repositories have none in common", []event.Fact{at(10, everywhere), at(99, listingElse)}, asks(50, "", ""), findings, []string{}},
		{"R26 a finding is open from the completion that brought it in", carried, asks(20, "", ""), findings, open},
		{"R26 and not before that", carried, asks(19, "", ""), findings, []string{}},
		{"R26 a completion that is unsaid brought nothing in", withdrawn, asks(90, "", ""), findings, open},
		{"R26 where the revision was never completed, from when it was first seen", carried[2:], asks(90, "", ""), findings, open},
		{"R26 an accepted finding is closed", closed, asks(30, "", ""), findings, []string{}},
		{"R26 else it is open from its opening", closed, asks(10, "", ""), findings, open},
		{"R26 what is opened after it was accepted is open again", reopened, asks(40, "", ""), findings, open},
		{"R26 and closed in between", reopened, asks(39, "", ""), findings, []string{}},
		{"R30 what a scan lists is open", missed, asks(19, "", ""), findings, open},
		{"R30 what it lists as accepted is closed", []event.Fact{seen, at(20, accepting)}, asks(20, "", ""), findings, []string{}},
		{"R31 what the next whole scan doesn't list is closed", missed, asks(20, "", ""), findings, []string{}},
		{"R31 a scan that isn't complete closes nothing", []event.Fact{seen, at(20, partial)}, asks(20, "", ""), findings, open},
		{"R31 a scan of something else closes nothing", []event.Fact{seen, at(20, other)}, asks(20, "", ""), findings, open},
		{"R31 a scan without its end closes nothing", []event.Fact{seen, at(20, half)}, asks(20, "", ""), findings, open},
		{"R31 what another part lists isn't missed", []event.Fact{seen, at(20, half), at(21, rest)}, asks(22, "", ""), findings, open},
		{"R31 a later sighting opens it again", seenAgain, asks(40, "", ""), findings, open},
		{"R31 and not before that", seenAgain, asks(39, "", ""), findings, []string{}},
		{"R31 who opens it by hand isn't contradicted each night", byHand, asks(30, "", ""), findings, open},
		{"R28 the owner is the last stated by then", cat, asks(29, "", ""), owner, "ann"},
		{"R28 a declaration of another environment says nothing here", cat, asks(26, "", ""), owner, "ann"},
		{"R28 before any, the first stated holds", cat, asks(1, "", ""), owner, "ann"},
		{"R28 tier goes by itself", cat, asks(1, "", ""), func(e event.Enrichment) any { return e.Tier }, "1"},
	}
}
