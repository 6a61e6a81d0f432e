package correlate

import (
	"slices"
	"testing"
)

func TestTheNewInstancesOfADeploymentAreFoundHoweverItSpellsItsVersion(t *testing.T) {
	probability := func(version, previous string) float64 {
		s := newScene("cart")
		d := s.deploys("d", "cart", 2*minute)
		d.Version, d.PreviousVersion = version, previous
		s.instance("cart", "pod-1", "1", "web", -24, 5, 0.99, 0.99)
		s.instance("cart", "pod-2", "4f2a9c1", "web", -2, 5, 0.99, 0.5)
		r := s.ranked(t)
		return cause(t, &r, Deployment, "d").Probability
	}
	want := probability("4f2a9c1", "1")
	for _, spelling := range [][2]string{
		{"4f2a9c1d0b7e8f6a5c4d3e2f1a0b9c8d7e6f5a4b", "v1"}, {"4f2a9c1d", "1"},
	} {
		if got := probability(spelling[0], spelling[1]); got != want {
			t.Errorf("from %s to %s: %v, and %v for what the instances state", spelling[1], spelling[0], got, want)
		}
	}
	if other := probability("5f2a9c1", "1"); other >= want {
		t.Errorf("of another version than the failing instances it is as likely: %v, %v", other, want)
	}
}

func TestAVersionThatNoDeploymentAnnouncedIsAnUndeclaredChangeThoughDeploymentsNameNoInstances(t *testing.T) {
	scene := func(version string) *Ranking {
		s := newScene("search")
		s.deploys("d", "search", 60*minute) // to version 2, of instances that it doesn't name
		s.instance("search", "pod-1", "2", "web", -24, 5, 0.99, 0.99)
		s.instance("search", "pod-2", version, "web", -3, 5, 0.99, 0.5)
		s.instance("search", "pod-3", "", "web", -3, 5, 0.99, 0.99) // which may be the deployment's
		r := s.ranked(t)
		return &r
	}
	has := func(r *Ranking) bool {
		return slices.ContainsFunc(r.Links, func(l Link) bool { return l.CauseKind == Undeclared && l.CauseID == "search" })
	}
	r := scene("3")
	if !has(r) {
		t.Fatalf("no undeclared change in %+v", r.Links)
	}
	if l := cause(t, r, Undeclared, "search"); l.Probability < cause(t, r, None, "").Probability || l.Probability < cause(t, r, Deployment, "d").Probability {
		t.Errorf("ranked as %+v", r.Links)
	}
	s := newScene("search")
	s.deploys("d", "search", 60*minute).Version = "main-4f2a9c1" // as no instance spells it
	s.instance("search", "pod-1", "1", "web", -24, 5, 0.99, 0.99)
	s.instance("search", "pod-2", "4f2a9c1", "web", -3, 5, 0.99, 0.5)
	if r := s.ranked(t); has(&r) {
		t.Errorf("it may be the deployment's own: %+v", r.Links)
	}
	if has(scene("2")) {
		t.Error("what the deployment brought is no undeclared change")
	}
}
