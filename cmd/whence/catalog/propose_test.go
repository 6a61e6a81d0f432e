package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func name(kind, name string, events uint64, roles ...string) Name {
	n := Name{Kind: kind, Name: name, Canonical: name, Events: events, Roles: roles, Sources: []string{"test"}}
	n.Declared = slices.Contains(roles, "declaration") || slices.Contains(roles, "member")
	return n
}

// proposed are proposals, a line each.
func proposed(k Knowledge) []string {
	lines := []string{}
	for _, p := range Propose(k) {
		var kinds []string
		for _, e := range p.Evidence {
			kinds = append(kinds, e.Kind)
		}
		lines = append(lines, fmt.Sprintf("%.2f %s → %s: %s", p.Confidence, p.Alias, p.Canonical, strings.Join(kinds, ", ")))
	}
	return lines
}

func TestNamesThatAreSpelledAlikeAreProposedAsOneTowardsTheOneMoreIsKnownOf(t *testing.T) {
	got := proposed(Knowledge{Names: []Name{
		name(Service, "checkout", 900, "declaration", "deployment", "observation"),
		name(Service, "Check-Out", 3, "incident"),
		name(Service, "checkout-svc", 5, "alert"),
		name(Service, "prod-checkout-api", 5, "label"),
		name(Service, "checkouts", 1, "incident"),
		name(Service, "acme/checkout", 1, "finding"),
		name(Service, "checkout-web", 8, "workload"),
		name(Service, "API", 8, "incident"), name(Service, "service", 8, "incident"),
	}})
	want := []string{
		"0.90 Check-Out → checkout: letters",
		"0.75 checkout-svc → checkout: affixes",
		"0.75 prod-checkout-api → checkout: affixes",
		"0.50 acme/checkout → checkout: last part",
		"0.50 checkouts → checkout: singular",
	}
	got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, "→ checkout:") })
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWhatEventsSayOfTwoNamesTogetherFindsWhatSpellingCannot(t *testing.T) {
	got := proposed(Knowledge{
		Names: []Name{
			name(Service, "checkout", 900, "declaration", "deployment"), name(Service, "cart", 900, "declaration"),
			name(Service, "PABC123", 12, "incident"), name(Service, "web-1", 50, "workload"), name(Service, "kasse", 4, "deployment"),
			name(Service, "HTTP 5xx", 10, "alert"),
		},
		Ties: []Tie{
			{"incident", "checkout", "PABC123", 9, 10}, {"workload", "web-1", "checkout", 50, 50}, {"repository", "kasse", "checkout", 4, 1},
			{"repository", "kasse", "cart", 4, 4}, {"incident", "HTTP 5xx", "cart", 1, 2}, {"incident", "nobody", "cart", 1, 2},
		},
	})
	want := []string{
		"0.80 web-1 → checkout: workload", "0.72 PABC123 → checkout: incident", "0.50 kasse → checkout: repository",
		"0.25 HTTP 5xx → cart: incident", "0.12 kasse → cart: repository",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRepositoriesAreOneByTheirAddress(t *testing.T) {
	got := proposed(Knowledge{Names: []Name{
		name(Repository, "acme/shop", 40, "declaration"), name(Repository, "https://github.com/Acme/shop.git", 4, "change"),
		name(Repository, "git@github.com:acme/shop.git", 2, "build"), name(Repository, "github.com/acme/shop", 3, "finding"), name(Repository, "shop", 1, "finding"),
		name(Repository, "acme/cart", 40, "declaration"),
	}})
	want := []string{
		"0.95 git@github.com:acme/shop.git → acme/shop: address",
		"0.95 github.com/acme/shop → acme/shop: address", "0.95 https://github.com/Acme/shop.git → acme/shop: address",
		"0.50 shop → acme/shop: last part",
	}
	got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, "→ acme/shop:") })
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPeopleAreOneByLoginAddressAndCommits(t *testing.T) {
	got := proposed(Knowledge{
		Names: []Name{
			name(Person, "ada-lovelace", 30, "change", "member"), name(Person, "4711+ada-lovelace@users.noreply.github.com", 9, "commit"),
			name(Person, "ada.lovelace@acme.test", 3, "commit"), name(Person, "Ada Lovelace", 5, "deployment"), name(Person, "alovelace", 2, "incident"),
			name(Person, "countess", 7, "commit"), name(Person, "bob", 7, "change"),
		},
		Ties: []Tie{{"commits", "countess", "ada-lovelace", 6, 12}, {"commits", "bob", "ada-lovelace", 1, 12}},
	})
	want := []string{
		"0.95 4711+ada-lovelace@users.noreply.github.com → ada-lovelace: noreply",
		"0.70 Ada Lovelace → ada-lovelace: local part", "0.70 ada.lovelace@acme.test → ada-lovelace: local part",
		"0.50 alovelace → ada-lovelace: initial", "0.30 countess → ada-lovelace: commits", "0.03 bob → ada-lovelace: commits",
	}
	got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, "→ ada-lovelace:") })
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWhatIsSettledRefusedOrTwoByTheOwnersWordIsNotProposed(t *testing.T) {
	settled := name(Service, "checkout_svc", 5, "alert")
	settled.Canonical = "checkout"
	got := proposed(Knowledge{
		Names: []Name{
			name(Service, "checkout", 900, "declaration"), settled,
			name(Service, "checkout-api", 5, "alert"), name(Service, "Checkout", 5, "declaration"),
			name(Service, "checkout-app", 5, "alias"),
		},
		Refused: []Pair{{Service, "checkout-api", "checkout"}, {Service, "checkout-api", "Checkout"}},
	})
	if len(got) != 0 {
		t.Errorf("proposed: %q", got)
	}
}

func TestTwoThatAreDeployedAndObservedAreLikelyTwo(t *testing.T) {
	got := proposed(Knowledge{Names: []Name{
		name(Service, "checkout", 9, "deployment", "observation"), name(Service, "checkout-api", 5, "deployment", "observation"),
	}})
	if d := cmp.Diff([]string{"0.22 checkout-api → checkout: affixes, both stand"}, got); d != "" {
		t.Error(d)
	}
}

func TestProposalsDontDependOnTheOrderOfNames(t *testing.T) {
	var k Knowledge
	for i := range 40 {
		k.Names = append(k.Names, name(Service, fmt.Sprintf("s%d", i%20)+[]string{"", "-svc"}[i/20], 7, "incident"))
		k.Ties = append(k.Ties, Tie{"incident", fmt.Sprintf("s%d", i%20), fmt.Sprintf("s%d-svc", i%20), uint64(i%3 + 1), 7})
	}
	want := Propose(k)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(k.Names), func(i, j int) { k.Names[i], k.Names[j] = k.Names[j], k.Names[i] })
		random.Shuffle(len(k.Ties), func(i, j int) { k.Ties[i], k.Ties[j] = k.Ties[j], k.Ties[i] })
		if d := cmp.Diff(want, Propose(k)); d != "" {
			t.Fatal(d)
		}
	}
}

func TestAThousandServicesThatAllAreCalledAPIAreNoMillionProposals(t *testing.T) {
	var k Knowledge
	for i := range 1000 {
		k.Names = append(k.Names, name(Service, fmt.Sprintf("team-%d/api", i), 7, "incident"))
	}
	if got := len(Propose(k)); got != 0 {
		t.Errorf("%d proposals", got)
	}
}
