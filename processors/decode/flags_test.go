package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

// audited is an entry of LaunchDarkly's audit log about flag new-checkout in production.
func audited(id string, date int64, versions string) message {
	return message{body: fmt.Sprintf(`{"_links":{},"_id":"%s","date":%d,"kind":"flag","name":"New checkout","titleVerb":"updated the flag","member":{"_id":"m1","email":"maeve@example.com","firstName":"Maeve"},
		"accesses":[{"action":"updateOn","resource":"proj/shop:env/production:flag/new-checkout;checkout,beta"},{"action":"updateFallthrough","resource":"proj/shop:env/production:flag/new-checkout;checkout,beta"}]%s}`, id, date, versions)}
}

func targeting(on string) string {
	return `{"key":"new-checkout","kind":"multivariate","variations":[{"_id":"1","value":"old"},{"_id":"2","value":{"v":2},"name":"new"},{"_id":"3","value":"mini"}],"environments":{"production":` + on + `,"test":{"on":true,"fallthrough":{"variation":1}}}}`
}

const (
	ldOff     = `{"on":false,"offVariation":0,"fallthrough":{"variation":1}}`
	ldRollout = `{"on":true,"offVariation":0,"fallthrough":{"rollout":{"variations":[{"variation":0,"weight":87500},{"variation":1,"weight":12500},{"variation":2,"weight":0}]}},
		"targets":[{"variation":2,"values":["user-1","user-2"]}],"rules":[{"variation":2,"clauses":[{"attribute":"email","op":"endsWith","values":["@example.com"]}]},{"variation":1,"description":"Beta","clauses":[]}]}`
	ldOn = `{"on":true,"offVariation":0,"fallthrough":{"variation":1}}`
)

func launchdarklyLife() []message {
	return []message{
		audited("65f0a1", 1773309600000, `,"previousVersion":`+targeting(ldOff)+`,"currentVersion":`+targeting(ldRollout)),
		audited("65f0a2", 1773313200000, `,"previousVersion":`+targeting(ldRollout)+`,"currentVersion":`+targeting(ldOn)),
		audited("65f0a3", 1773313260000, `,"previousVersion":`+targeting(ldOn)+`,"currentVersion":`+targeting(ldOff)),
	}
}

func TestAFlagOfLaunchDarklyIsOneThroughItsRollout(t *testing.T) {
	playLife(t, life{source: "launchdarkly", entity: "new-checkout", messages: launchdarklyLife(), facts: []string{
		"flag.changed 10:00:00 auditlog/65f0a1/production",
		"flag.changed 11:00:00 auditlog/65f0a2/production",
		"flag.changed 11:01:00 auditlog/65f0a3/production",
	}})
}

func TestTheRulesOfLaunchDarklyAreSharesInPercentAndForTheRestWhomTheyAreFor(t *testing.T) {
	line := saidBy(t, "launchdarkly", []byte(launchdarklyLife()[0].body))[0]
	want := `{"changed_by":"maeve@example.com","environment":"production","flag":"new-checkout","previous":{"old":100},"rules":{"mini":"2 targets; email endsWith @example.com","new":12.5,"old":87.5}}`
	if !strings.HasSuffix(line, want) {
		t.Errorf("got %s", line)
	}
}

func TestAChangeOfLaunchDarklyWithoutVersionsIsWhatItsTitleSaysOrIsKept(t *testing.T) {
	turned := strings.Replace(audited("65f0b1", 1773309600000, "").body, "updated the flag", "turned on the flag", 1)
	if line := saidBy(t, "launchdarkly", []byte(turned))[0]; !strings.Contains(line, `"flag":"new-checkout","rules":{"on":100}`) {
		t.Error(line)
	}
	for _, body := range []string{
		audited("65f0b2", 1773309600000, "").body,
		`{"_id":"1","date":1773309600000,"kind":"project","accesses":[{"action":"updateName","resource":"proj/shop:env/production"}],"currentVersion":{"environments":[{"key":"production"}]}}`,
	} {
		if lines := saidBy(t, "launchdarkly", []byte(body)); len(lines) != 1 || !strings.HasPrefix(lines[0], "kept com.launchdarkly.") || strings.Contains(lines[0], "unplaced") {
			t.Errorf("%q", lines)
		}
	}
}

func TestAFlagThatIsMadeInTwoEnvironmentsChangesInBoth(t *testing.T) {
	body := strings.Replace(launchdarklyLife()[1].body, `"accesses":[`, `"accesses":[{"action":"createFlag","resource":"proj/shop:env/test:flag/new-checkout"},`, 1)
	lines := saidBy(t, "launchdarkly", []byte(body), source.HintPrefix+"service", "checkout")
	if len(lines) != 3 || !strings.Contains(lines[0], `"environment":"test"`) || !strings.Contains(lines[1], `"environment":"production"`) || !strings.Contains(lines[1], `"services":["checkout"]`) {
		t.Errorf("%q", lines)
	}
}

func FuzzLaunchDarkly(f *testing.F) {
	fuzzReader(f, "launchdarkly", "whence-service", launchdarklyLife())
}

func unleashed(id int, kind, at, more string) message {
	return message{body: fmt.Sprintf(`{"id":%d,"type":"%s","createdAt":"%s","createdBy":"maeve@example.com","environment":"production","project":"shop","featureName":"new-checkout","tags":[]%s}`, id, kind, at, more)}
}

const (
	quarter = `{"id":"s1","name":"flexibleRollout","parameters":{"rollout":"25","stickiness":"default","groupId":"new-checkout"},"constraints":[],"segments":[],"variants":[]}`
	half    = `{"id":"s1","name":"flexibleRollout","parameters":{"rollout":"50"},"constraints":[],"segments":[],"variants":[{"name":"red","weight":300},{"name":"blue","weight":700}]}`
	germans = `{"id":"s2","name":"flexibleRollout","parameters":{"rollout":"50"},"constraints":[{"contextName":"country","operator":"IN","values":["DE","AT"]}],"segments":[7]}`
	byID    = `{"id":"s3","name":"userWithId","parameters":{"userIds":"1,2"}}`
)

func unleashLife() []message {
	return []message{
		unleashed(1, "feature-strategy-add", "2026-03-12T10:00:00.000Z", `,"data":`+quarter+`,"preData":null`),
		unleashed(2, "feature-environment-enabled", "2026-03-12T10:00:10.000Z", ``),
		unleashed(3, "feature-strategy-update", "2026-03-12T11:00:00.000Z", `,"data":`+half+`,"preData":`+quarter),
		unleashed(4, "feature-environment-disabled", "2026-03-12T11:05:00.000Z", ``),
		unleashed(5, "feature-strategy-remove", "2026-03-12T12:00:00.000Z", `,"data":null,"preData":`+half),
		unleashed(6, "feature-tagged", "2026-03-12T12:00:01.000Z", `,"data":{"type":"simple","value":"x"}`),
	}
}

func TestAFlagOfUnleashIsOneThroughItsRollout(t *testing.T) {
	playLife(t, life{source: "unleash", entity: "new-checkout", messages: unleashLife(), facts: []string{
		"flag.changed 10:00:00 event/1", "flag.changed 10:00:10 event/2", "flag.changed 11:00:00 event/3", "flag.changed 11:05:00 event/4", "flag.changed 12:00:00 event/5",
	}})
}

func TestAStrategyOfUnleashIsAPercentOrSaysWhomItIsFor(t *testing.T) {
	for strategy, want := range map[string]string{
		quarter:              `"rules":{"enabled":25}`,
		half:                 `"rules":{"blue":35,"red":15}`,
		germans:              `"rules":{"enabled":"50 % of country IN DE AT and segment 7"}`,
		byID:                 `"rules":{"enabled":"userWithId"}`,
		`{"name":"default"}`: `"rules":{"enabled":100}`,
		`{"name":"flexibleRollout","disabled":true}`: `"rules":{"enabled":0}`,
	} {
		if line := saidBy(t, "unleash", []byte(unleashed(1, "feature-strategy-add", "2026-03-12T10:00:00Z", `,"data":`+strategy).body))[0]; !strings.Contains(line, want) {
			t.Errorf("%s: %s", want, line)
		}
	}
	line := saidBy(t, "unleash", []byte(unleashLife()[2].body))[0]
	if !strings.Contains(line, `"previous":{"enabled":25}`) {
		t.Error(line)
	}
}

func TestAStrategyOfUnleashThatIsNoneIsKeptWithTheReason(t *testing.T) {
	lines := saidBy(t, "unleash", []byte(unleashed(1, "feature-strategy-add", "2026-03-12T10:00:00Z", `,"data":[7]`).body))
	if len(lines) != 1 || !strings.Contains(lines[0], "unplaced=flag.changed: ") {
		t.Errorf("%q", lines)
	}
}

func FuzzUnleash(f *testing.F) { fuzzReader(f, "unleash", "whence-service", unleashLife()) }

func TestALongRuleOfLaunchDarklyIsCutShortInEachVariantThatItGives(t *testing.T) {
	var variations, shares strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&variations, `{"value":%d},`, i)
		fmt.Fprintf(&shares, `{"variation":%d,"weight":50},`, i)
	}
	rule := `{"description":"` + strings.Repeat("ä", 100_000) + `","rollout":{"variations":[` + strings.TrimSuffix(shares.String(), ",") + `]}}`
	body := audited("1", 1773309600000, `,"currentVersion":{"key":"new-checkout","variations":[`+strings.TrimSuffix(variations.String(), ",")+`],"environments":{"production":{"on":true,"rules":[`+rule+`]}}}`).body
	b := sent("launchdarkly", []byte(body))
	if err := New(Config{}).Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Facts) != 1 || len(b.Facts[0].Data) > 1<<20 {
		t.Fatalf("%d facts, %d dead letters", len(b.Facts), len(b.Dead))
	}
}

func TestAnEntryOfLaunchDarklyChangesAHundredEnvironmentsAtMost(t *testing.T) {
	var accesses strings.Builder
	for i := range 150 {
		fmt.Fprintf(&accesses, `,{"action":"updateOn","resource":"proj/shop:env/e%d:flag/f"}`, i)
	}
	lines := saidBy(t, "launchdarkly", []byte(`{"_id":"1","date":1773309600000,"kind":"flag","titleVerb":"turned on the flag","accesses":[`+accesses.String()[1:]+`]}`))
	if len(lines) != 101 || !strings.Contains(lines[100], "unplaced=flag.changed: more than 100 environments") {
		t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
}

// TestAChangeOfAFlagWithoutAnIDIsKept: templates of one's own leave it out, and then
// all changes of all flags would be one event.
func TestAChangeOfAFlagWithoutAnIDIsKept(t *testing.T) {
	for from, body := range map[string]string{
		"unleash":      `{"type":"feature-environment-disabled","createdAt":"2026-03-12T10:00:00Z","environment":"production","featureName":"f"}`,
		"launchdarkly": `{"date":1773309600000,"kind":"flag","titleVerb":"turned on the flag","accesses":[{"resource":"proj/shop:env/production:flag/f"}]}`,
	} {
		facts, original := hooked(t, from, body)
		if len(facts) != 0 || !strings.Contains(original, "unplaced=flag.changed: id: missing") {
			t.Errorf("%s: %q %q", from, facts, original)
		}
	}
}
