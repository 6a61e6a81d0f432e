package clickhouse

import (
	"fmt"
	"slices"
	"testing"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// named is an identity.declared at a second.
func named(kind, alias, canonical string, second int64) event.Fact {
	return said(fmt.Sprintf("named-%s-%s-%d", alias, canonical, second), "identity.declared", second,
		fmt.Sprintf(`{"kind":%q,"alias":%q,"canonical":%q}`, kind, alias, canonical))
}

func declared(service string, second int64, more string) event.Fact {
	return said(fmt.Sprintf("declared-%s-%d", service, second), "service.declared", second, fmt.Sprintf(`{"service":%q%s}`, service, more))
}

func TestNamesMeanWhatTheirChainsEndInKindByKind(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	tell(t, client, 100,
		named("service", "a", "b", 1), named("service", "b", "c", 1), named("service", "b", "elsewhere", 0),
		named("service", "x", "z", 1), named("service", "y", "x", 1), named("service", "z", "y", 1), named("service", "to-cycle", "z", 1),
		named("repository", "a", "r", 1), named("person", "a", "ada", 1),
		declared("shop", 1, `,"aliases":["store","b"]`),
		declared("shop", 0, `,"aliases":["shop",""]`))
	// Of two words about b at one moment the total order of facts decides.
	expect(t, client, "SELECT kind, alias, canonical FROM whence_state.meanings ORDER BY ALL",
		"person\ta\tada", "repository\ta\tr",
		"service\ta\tc", "service\tb\tc", "service\tstore\tshop", "service\tto-cycle\tx", "service\ty\tx", "service\tz\tx")
	expect(t, client, "SELECT * FROM whence_state.aliases WHERE alias = 'to-cycle'", "to-cycle\tx")
}

func TestTheCatalogListsNamesOfFactsAndObservationsWithTheirUses(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence.other_events", "whence_state.edges")...)
	tell(t, client, 100, slices.Concat(
		rolled("d1", "checkout", "production", 100, `,"requested_by":"ines","revisions":["r"]`),
		[]event.Fact{
			declared("checkout", 10, `,"depends_on":["payments"],"repositories":["acme/shop"],"aliases":["Checkout API"]`),
			said("team", "team.declared", 10, `{"team":"cart","members":["ada"]}`),
			said("c", "change.merged", 50, `{"change_id":"c","repository":"acme/shop","revision":"r","author":"ada","merged_at":"`+moment(50)+`","commits":[{"revision":"r","author":"ada@acme.test"}]}`),
			said("i", "incident.opened", 200, `{"incident_id":"i","service":"Checkout API","environment":"production","severity":"high"}`),
			said("f", "alert.fired", 200, `{"alert_id":"f","service":"checkout-svc","environment":"production","severity":"high","labels":{"deployment":"checkout-web","severity":"page"}}`),
			said("p", "instance.ready", 200, `{"instance":"checkout-web-7d9fbc5c4d-x2v7k","service":"checkout","environment":"production"}`),
		})...)
	observe(t, client,
		witnessed(1, "checkout", "production", 150, func(o *event.Observation) {}),
		witnessed(2, "checkout", "production", 160, func(o *event.Observation) { o.Instance = "cart-5c7d9f8b6d-wbc2d" }),
		witnessed(3, "cart", "production", 170, func(o *event.Observation) { o.Caller, o.Callee = "cart", "stock" }))
	const columns = "SELECT kind, name, canonical, declared, roles, sources, events FROM "
	expect(t, client, columns+"whence.catalog_names ORDER BY ALL",
		"person\tada\tada\ttrue\t[change member]\t[test]\t2",
		"person\tada@acme.test\tada@acme.test\tfalse\t[commit]\t[test]\t1",
		"person\tines\tines\tfalse\t[deployment]\t[test]\t2",
		"repository\tacme/shop\tacme/shop\ttrue\t[change declaration]\t[test]\t2",
		"service\tCheckout API\tcheckout\tfalse\t[alias incident]\t[test]\t2",
		"service\tcart\tcart\tfalse\t[call observation workload]\t[relations]\t2",
		"service\tcheckout\tcheckout\ttrue\t[declaration deployment instance observation]\t[relations test]\t6",
		"service\tcheckout-svc\tcheckout-svc\tfalse\t[alert]\t[test]\t1",
		"service\tcheckout-web\tcheckout-web\tfalse\t[workload]\t[test]\t2",
		"service\tpayments\tpayments\tfalse\t[dependency]\t[test]\t1",
		"service\tstock\tstock\tfalse\t[call]\t[]\t0")
	expect(t, client, "SELECT name, roles FROM whence.catalog_names_since(since = '2000-01-02') WHERE name IN ('cart', 'checkout') ORDER BY ALL",
		"checkout\t[declaration deployment instance]")
	expect(t, client, "SELECT kind, name, reason, events, example_id FROM whence.catalog_unmapped ORDER BY ALL",
		"service\tcart\tobserved, but nothing deploys or declares it\t2\t3",
		"service\tcheckout-svc\tnot deployed or declared, nor observed since 2000-01-01\t1\tf",
		"service\tcheckout-web\tnot deployed or declared, nor observed since 2000-01-01\t2\tp",
		"service\tpayments\tnot deployed or declared, nor observed since 2000-01-01\t1\tdeclared-checkout-10",
		"service\tstock\tnot deployed or declared, nor observed since 2000-01-01\t0\t")
	tell(t, client, 100, named("service", "checkout-svc", "Checkout API", 300), named("service", "checkout-web", "checkout", 300))
	expect(t, client, "SELECT name FROM whence.catalog_unmapped ORDER BY ALL", "cart", "payments", "stock")
}

func TestALateAliasOfARepositoryAndLateDeclarationsSayWhoseChangesWere(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	merged := func(id, repository, more string) event.Fact {
		return said(id, "change.merged", 100, fmt.Sprintf(`{"change_id":%q,"repository":%q,"revision":%q,"merged_at":%q%s}`, id, repository, "r-"+id, moment(100), more))
	}
	tell(t, client, 100,
		merged("deep", "acme/shop", `,"paths":["services/checkout/api/main.go"]`),
		merged("wide", "acme/shop", `,"paths":["services/checkout/cart.go","docs/README.md","services/checkout-old/x.go"]`),
		merged("no-paths", "acme/shop", ``),
		merged("stated", "acme/other", `,"services":["Checkout"],"paths":["services/checkout/x"]`),
		merged("glob", "acme/shop", `,"paths":["libs/go/money/money.go","libs/js/money.js","a+b/x"]`))
	const rows = "SELECT change_id, service, found_by FROM whence.change_services ORDER BY ALL"
	expect(t, client, rows, "stated\tCheckout\tstated")
	tell(t, client, 100,
		declared("checkout", 500, `,"repositories":["shop"],"paths":["/services/checkout/"]`),
		declared("checkout-api", 500, `,"repositories":["shop"],"paths":["services/*/api/**"]`),
		declared("money", 500, `,"repositories":["shop"],"paths":["libs/**/money","a+b"]`),
		declared("platform", 500, `,"repositories":["shop"]`))
	expect(t, client, rows, "stated\tCheckout\tstated")
	tell(t, client, 100, named("repository", "acme/shop", "shop", 900), named("service", "Checkout", "checkout", 900))
	expect(t, client, rows,
		"deep\tcheckout-api\tpaths",
		"glob\tmoney\tpaths", "glob\tplatform\tpaths",
		"no-paths\tplatform\tpaths",
		"stated\tcheckout\tstated",
		"wide\tcheckout\tpaths", "wide\tplatform\tpaths")
	tell(t, client, 100, declared("checkout-api", 1000, `,"repositories":["shop"],"paths":["apis"]`))
	expect(t, client, "SELECT service FROM whence.change_services WHERE change_id = 'deep'", "checkout")
}

func TestOldChangesDontArriveWithTheFirstDeploymentThatIsKnown(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	const day = 24 * 3600
	merged := func(id string, second int64) event.Fact {
		return said(id, "change.merged", second, fmt.Sprintf(`{"change_id":%q,"repository":"shop","revision":%q,"author":"ada-l","merged_at":%q}`, id, id, moment(second)))
	}
	tell(t, client, 100, slices.Concat(
		[]event.Fact{merged("ancient", day), merged("recent", 89*day), merged("next", 91*day), merged("known-before", day)},
		rolled("first", "shop", "production", 90*day, `,"revisions":["ancient","recent"]`),
		rolled("second", "shop", "production", 92*day, `,"revisions":["next","recent"]`),
		rolled("again", "shop", "production", 95*day, `,"revisions":["next"]`),
		rolled("elsewhere", "shop", "staging", 90*day, `,"revisions":["known-before"],"previous_version":"v0"`))...)
	const rows = "SELECT change_id, deployment_id, arrived, round(lead_time_hours) FROM whence.shipped ORDER BY ALL"
	want := []string{
		"ancient\tfirst\tfalse\t∅", "known-before\telsewhere\ttrue\t2136", "next\tagain\tfalse\t∅", "next\tsecond\ttrue\t24",
		"recent\tfirst\ttrue\t24", "recent\tsecond\tfalse\t∅",
	}
	expect(t, client, rows, want...)
	// A deployment that is known later, from before, says what the first replaced.
	tell(t, client, 100, rolled("before", "shop", "production", 80*day, `,"revisions":["x"]`)...)
	want[0] = "ancient\tfirst\ttrue\t2136"
	expect(t, client, rows, want...)
	// So does one under a name that turns out to be the same service's.
	tell(t, client, 100, rolled("under-another-name", "store", "production", 10*day, `,"revisions":["ancient"]`)...)
	tell(t, client, 100, named("service", "store", "shop", 100*day), named("person", "ada-l", "Ada Lovelace", 100*day))
	expect(t, client, "SELECT deployment_id, author, arrived FROM whence.shipped WHERE change_id = 'ancient' ORDER BY ALL",
		"first\tAda Lovelace\tfalse", "under-another-name\tAda Lovelace\tfalse")
}

func TestWhatMappingsCouldNotPlaceIsCountedByReasonWithAnExample(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence.other_events", "whence_state.edges")...)
	block := tables.NewOthers()
	for i, unplaced := range []string{"deployment.started: environment: missing", "deployment.started: environment: missing; build.finished: revision: missing", ""} {
		o := event.Other{Event: event.Event{ID: fmt.Sprint("e", i), Source: "https://ci", Type: "com.github.deployment", Time: event.MinTime + event.Millis(i*1000)}, Data: "{}"}
		if unplaced != "" {
			o.Extensions = []event.Pair{{Key: "unplaced", Value: unplaced}}
		}
		block.Append(&o)
	}
	must(t, client.Insert(t.Context(), block, t.Name()))
	expect(t, client, "SELECT kind, name, sources, reason, events, example_source, example_id FROM whence.catalog_unmapped ORDER BY ALL",
		"event\tcom.github.deployment\t[https://ci]\tbuild.finished: revision: missing\t1\thttps://ci\te1",
		"event\tcom.github.deployment\t[https://ci]\tdeployment.started: environment: missing\t2\thttps://ci\te1")
}

func TestAnAliasOfOneToolCorrectsWhatAllSay(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	tell(t, client, 100,
		said("i", "incident.opened", 200, `{"incident_id":"i","service":"PABC123","environment":"production","severity":"high"}`),
		said("n", "identity.declared", 900, `{"kind":"service","alias":"PABC123","canonical":"checkout","source":"pagerduty"}`),
		said("no", "identity.declared", 950, `{"kind":"service","alias":"PABC123","canonical":"PABC123","not":"payments"}`))
	expect(t, client, "SELECT alias, canonical FROM whence_state.meanings", "PABC123\tcheckout")
	expect(t, client, "SELECT alias, canonical FROM whence_state.refusals", "PABC123\tpayments")
	expect(t, client, "SELECT incident_ids, canonical_service FROM whence.context_at(service = 'checkout', environment = 'production', time = '2000-01-01 00:05:00', revision = 9223372036854775807)",
		"[i]\tcheckout")
}

func TestAChangeNobodyDeployedIsACandidateOfTheServicesThatClaimItsPaths(t *testing.T) {
	client, r := situations(t)
	merged := func(id, paths string) event.Fact {
		return said(id, "change.merged", onset-3600, fmt.Sprintf(`{"change_id":%q,"repository":"acme/shop","revision":%q,"merged_at":%q,"paths":%s}`, id, id, at(onset-3600), paths))
	}
	tell(t, client, 10, incident("i", "checkout"), merged("cart", `["services/cart/x.go"]`), merged("docs", `["docs/x.md"]`))
	digest := func() uint64 {
		return load(t, r, "incident", "i").Digest
	}
	if got := ids(load(t, r, "incident", "i")); len(got) != 0 {
		t.Fatalf("candidates %q before anybody claims anything", got)
	}
	before := digest()
	tell(t, client, 10, declared("checkout", onset+900, `,"repositories":["shop"],"paths":["services/*"]`))
	if digest() == before {
		t.Error("a declaration of repositories and paths is not in the digest")
	}
	before = digest()
	tell(t, client, 10, named("repository", "acme/shop", "shop", onset+1000))
	if digest() == before {
		t.Error("an alias of a repository is not in the digest")
	}
	s := load(t, r, "incident", "i")
	if got := ids(s); !slices.Equal(got, []string{"change cart"}) || s.Candidates[0].Service != "checkout" {
		t.Errorf("candidates %q", got)
	}
	expect(t, client, "SELECT * FROM whence.change_services", "cart\tcheckout\tpaths")
}

func TestFiguresAreOfAllNamesOfAServiceAndAUserUntilAnAliasIsTakenBack(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations")...)
	tell(t, client, 100, slices.Concat(
		rolled("d", "ug-api", "production", 7000, ``),
		[]event.Fact{
			said("i", "incident.opened", 7200, `{"incident_id":"i","service":"UG API","services":["ug"],"environment":"production","severity":"high","ended_at":"`+moment(9000)+`"}`),
			said("f", "finding.opened", 7000, `{"finding_id":"f","kind":"audit","rule":"R","severity":"high","service":"UG API","environment":"production"}`),
			said("g", "finding.remediated", 9000, `{"finding_id":"f","kind":"audit","rule":"R","severity":"high","service":"UG API","environment":"production"}`),
			said("j", "incident.opened", 7200, `{"incident_id":"j","service":"UG API","environment":"production","severity":"high","ended_at":"`+moment(9000)+`"}`),
		})...)
	paid := func(n int, service string, second int64, user string, ok event.Truth) *event.Observation {
		return witnessed(n, service, "production", second, func(o *event.Observation) { o.Name, o.User, o.OK = "pay", user, ok })
	}
	observe(t, client,
		paid(1, "ug", 6900, "ada", event.True), paid(2, "ug", 7300, "ada", event.False), paid(3, "ug-api", 7400, "bob", event.True),
		paid(4, "other", 7300, "cleo", event.False))
	figures := func(i, j, f, d string) {
		t.Helper()
		const impact = "SELECT users_seen, users_affected, requests, requests_failed FROM whence.incident_impact"
		expect(t, client, impact+"_of(incident = 'i')", i)
		expect(t, client, impact+" WHERE incident_id = 'i'", i)
		expect(t, client, impact+"_of(incident = 'j')", j)
		expect(t, client, "SELECT service, users FROM whence.finding_exposure WHERE finding_id = 'f'", f)
		expect(t, client, "SELECT service, users FROM whence.finding_exposure_of(finding = 'f')", f)
		expect(t, client, "SELECT service, observations_before, observations_after FROM whence.deployment_impact", d)
	}
	figures("1\t1\t1\t1", "0\t0\t∅\t∅", "UG API\t0", "ug-api\t0\t1")
	expect(t, client, "SELECT incident_id, cause_id, service, relation FROM whence.incident_candidates ORDER BY ALL", "i\td\tug-api\tsame environment", "j\td\tug-api\tsame environment")
	tell(t, client, 100, named("service", "UG API", "ug", 9000), named("service", "ug-api", "UG API", 9000))
	figures("2\t1\t2\t1", "2\t1\t2\t1", "ug\t2", "ug-api\t1\t2")
	expect(t, client, "SELECT incident_id, cause_id, service, relation FROM whence.incident_candidates ORDER BY ALL", "i\td\tug\tsame service", "j\td\tug\tsame service")
	expect(t, client, "SELECT name, canonical, names FROM whence.service_names ORDER BY ALL",
		"UG API\tug\t[UG API ug ug-api]", "ug\tug\t[UG API ug ug-api]", "ug-api\tug\t[UG API ug ug-api]")
	tell(t, client, 100, named("user", "bob", "ada", 9000))
	figures("1\t1\t2\t1", "1\t1\t2\t1", "ug\t1", "ug-api\t1\t2")
	expect(t, client, "SELECT name, canonical, names FROM whence.user_names ORDER BY ALL", "ada\tada\t[ada bob]", "bob\tada\t[ada bob]")
	tell(t, client, 100, said("s", "fact.retracted", 9100, `{"retracts":{"source":"test","id":"named-bob-ada-9000"}}`))
	tell(t, client, 100, said("r", "fact.retracted", 9100, `{"retracts":{"source":"test","id":"named-UG API-ug-9000"}}`))
	figures("2\t1\t2\t1", "1\t0\t1\t0", "UG API\t1", "ug-api\t0\t1") // i names ug itself
}

func TestAVersionThatNoDeploymentNamesIsToldWithTheLastOneDeployed(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence.other_events", "whence_state.edges")...)
	const revision = "4f2a9c1d0b7e8f6a5c4d3e2f1a0b9c8d7e6f5a4b"
	tell(t, client, 100,
		named("service", "shop-api", "shop", 10),
		said("d1", "deployment.finished", 100, `{"deployment_id":"d1","service":"shop-api","environment":"production","version":"v2.0.0","previous_version":"1.9.0","outcome":"success"}`),
		said("d2", "deployment.finished", 200, `{"deployment_id":"d2","service":"mail","environment":"production","version":"`+revision+`","outcome":"success"}`))
	states := func(n int, service, version string) *event.Observation {
		return witnessed(n, service, "production", 300+int64(n), func(o *event.Observation) { o.Version = version })
	}
	observe(t, client,
		states(1, "shop", "2.0.0"), states(2, "shop-api", "2.0.0"), states(3, "shop", "v2.0.0"), states(4, "shop", "1.9.0"), states(5, "shop", "2.0"),
		states(6, "mail", revision[:7]), states(7, "nowhere", "2.0.0"), states(8, "shop", "v3.0.0"))
	expect(t, client, "SELECT name, reason, events, example_id FROM whence.catalog_unmapped WHERE kind = 'version' ORDER BY ALL",
		"shop 2.0\tno deployment of shop names this version; the last one deployed is v2.0.0\t1\t5",
		"shop v3.0.0\tno deployment of shop names this version; the last one deployed is v2.0.0\t1\t8")
}

func TestTheTablesKeyOfAVersionIsThatOfTheTimeline(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence.other_events", "whence_state.edges")...)
	const commit = "4f2a9c1d0b7e8f6a5c4d3e2f1a0b9c8d7e6f5a4b"
	var all []*event.Observation
	var want []string
	for i, version := range []string{
		"2.0.0", "v2.0.0", "V2", "v", "vv2", "va1", commit, "v" + commit, commit[:7], commit[:8], "v" + commit[:8], commit[:12], commit[:13], commit[:6], commit + commit[:24],
		"1234567" + commit[:33], "1234567", "12345678", "1234567a", "123456a8", "20240115a", "24011510a", "4F2A9C1D", " 1", "1\n", commit[:8] + "\n", "\xff1", "v1\x00", "0000000000000a",
		"sha-" + commit[:7], "sha-" + commit, "git-" + commit[:12], "sha-1234567", "sha-" + commit[:13], "sha-" + commit[:6], "sha-" + commit[:7] + "\n", "sha-2.0", "vsha-1234567",
	} {
		all = append(all, witnessed(i, "shop", "production", 300, func(o *event.Observation) { o.Version = version }))
		want = append(want, fmt.Sprintf("%X\t%X", version, event.VersionKey(version)))
	}
	observe(t, client, all...)
	expect(t, client, "SELECT DISTINCT hex(version), hex(version_key) FROM whence.observations FINAL ORDER BY hex(version)", slices.Sorted(slices.Values(want))...)
}
