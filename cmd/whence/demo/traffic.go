package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Event is an event and how it gets to Kafka.
type Event struct {
	Producer  string
	Published time.Time // in the scenario's time: producers buffer, and pipelines report late
	Fact      bool
	Late      bool   // published minutes after it happened
	JSON      []byte // CloudEvents, structured mode
}

// The producers of observations; those of facts are named in the scenario.
const (
	SDK  = "shop-sdk" // in the visitors' browsers and the services
	Mesh = "mesh"     // measures the services
)

// Events are all events of the scenario, in the order in which they are
// published: facts that are reported late after what they explain, and
// observations out of order, because every browser sends when it pleases.
func (s *Scenario) Events() ([]Event, error) {
	t := traffic{
		Scenario: s, rolling: s.rollouts(), random: rand.New(rand.NewPCG(s.Seed, 1)),
		measured: map[measurementKey]*measurement{},
	}
	t.facts()
	for minute := range s.Minutes {
		for range s.Visits {
			t.visit(float64(minute) + t.random.Float64())
		}
	}
	t.measurements()
	slices.SortStableFunc(t.events, func(a, b Event) int { return a.Published.Compare(b.Published) })
	return t.events, t.err
}

type traffic struct {
	*Scenario
	rolling  []rollout
	random   *rand.Rand
	visits   int
	measured map[measurementKey]*measurement
	events   []Event
	err      error
}

type envelope struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject,omitempty"`
	Time        string         `json:"time"`
	ContentType string         `json:"datacontenttype"`
	Data        map[string]any `json:"data"`
}

func (t *traffic) add(producer, id, kind string, at time.Time, late time.Duration, fact bool, data map[string]any) {
	text, err := json.Marshal(envelope{
		SpecVersion: "1.0", ID: id, Source: producer, Type: "io.whence." + kind,
		Time: stamp(at), ContentType: "application/json", Data: data,
	})
	t.err = cmp.Or(t.err, err)
	t.events = append(t.events, Event{Producer: producer, Published: at.Add(late), Fact: fact, Late: fact && late > 0, JSON: text})
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

func (t *traffic) facts() {
	for i, f := range t.Facts {
		if !f.EachService {
			t.fact(f, fmt.Sprintf("%s-%d", f.Type, i), f.Data)
			continue
		}
		for _, service := range t.Services {
			t.fact(f, fmt.Sprintf("%s-%s", f.Type, service.Name), service.stated(f.Type))
		}
	}
}

func (t *traffic) fact(f Fact, id string, stated map[string]any) {
	data := maps.Clone(stated)
	data["environment"] = t.Environment
	if f.Type == "change.merged" || f.Type == "experiment.started" || f.Type == "finding.opened" {
		delete(data, "environment") // they belong to none
	}
	for field, minutes := range f.Moments {
		data[field] = stamp(t.At(minutes))
	}
	t.add(f.Producer, id, f.Type, t.At(f.At), time.Duration(f.Late*float64(time.Minute)), true, data)
}

// stated is what a fact of the given type says of a service at the beginning.
func (s Service) stated(kind string) map[string]any {
	if kind == "service.declared" {
		return map[string]any{"service": s.Name, "owner": s.Owner, "tier": s.Tier, "depends_on": s.DependsOn}
	}
	data := map[string]any{"deployment_id": s.Name + "-" + s.Version, "service": s.Name, "version": s.Version, "strategy": "rolling"}
	if kind == "deployment.finished" {
		data["outcome"], data["percent"] = "success", 100
	}
	return data
}

// visit lets one visitor go down the funnel.
func (t *traffic) visit(minute float64) {
	t.visits++
	session := fmt.Sprintf("s%06d", t.visits)
	user := fmt.Sprintf("u%05d", t.random.IntN(9000))
	// A browser sends what it has collected when it finds the time.
	late := time.Duration(t.random.ExpFloat64() * float64(20*time.Second))
	for i, step := range t.Funnel {
		if minute >= float64(t.Minutes) {
			return
		}
		if step.Name == t.Experiment.Step {
			t.expose(session, minute, late)
		}
		ok := t.step(step, session, user, fmt.Sprintf("%s-%d", session, i), minute, late)
		if !ok && t.random.Float64() < step.Retry {
			minute += 0.1 + t.random.Float64()*0.3
			ok = t.step(step, session, user, fmt.Sprintf("%s-%d-again", session, i), minute, late)
		}
		if !ok || t.random.Float64() >= step.Stay {
			return
		}
		minute += 0.1 + t.random.ExpFloat64()*0.5
	}
}

func (t *traffic) expose(session string, minute float64, late time.Duration) {
	e := t.Experiment
	t.add(SDK, session+"-exposed", "experiment.exposed", t.At(minute), late, false, map[string]any{
		"experiment": e.Name, "variant": e.Variants[t.visits%len(e.Variants)], "unit_id": session,
		"service": "web", "environment": t.Environment,
	})
}

// step records one thing a visitor did and says whether it went well.
func (t *traffic) step(step Step, session, user, id string, minute float64, late time.Duration) bool {
	service, instance, version := t.served(step.Service, minute)
	effect := t.effect(step.Service, version)
	ok := t.random.Float64() >= max(step.Errors, effect.Errors)
	took := step.MedianMS * max(effect.Slowdown, 1) * math.Exp(0.45*t.random.NormFloat64())
	data := map[string]any{
		"name": step.Name, "service": step.Service, "environment": t.Environment, "user": user, "session": session,
		"ok": ok, "duration_ms": math.Round(took*10) / 10, "instance": instance,
		"attributes": map[string]any{"device": t.device()},
	}
	if step.Service == "payments" { // the one service that says its version with everything it does
		data["version"] = version
	}
	if step.Value > 0 && ok {
		data["value"] = math.Round(step.Value*math.Exp(0.6*t.random.NormFloat64())*100) / 100
	}
	t.add(SDK, id, "behavior.recorded", t.At(minute), late, false, data)
	t.measure(service, instance, version, minute, ok, took)
	return ok
}

func (t *traffic) device() string {
	if t.random.Float64() < 0.6 {
		return "phone"
	}
	return "desktop"
}

// served picks an instance, and the version it runs: the first instances are
// the first to get a new one.
func (t *traffic) served(name string, minute float64) (s Service, instance, version string) {
	s = t.Services[slices.IndexFunc(t.Services, func(s Service) bool { return s.Name == name })]
	version = s.Version
	place := t.random.Float64()
	for _, r := range t.rolling {
		if r.service != name || minute < r.from {
			continue
		}
		if version = s.Version; place < r.share {
			version = r.version
		}
	}
	// A canary's share is a share of the traffic, so an instance runs one
	// version at a time and its name tells which.
	return s, fmt.Sprintf("%s-%s-%d", name, version, int(place*float64(s.Instances))), version
}

func (t *traffic) effect(service, version string) Effect {
	for _, e := range t.Effects {
		if e.Service == service && e.Version == version {
			return e
		}
	}
	return Effect{}
}

// The mesh measures each instance once a minute.
type measurementKey struct {
	minute                     int
	service, instance, version string
}

type measurement struct {
	requests, errors int
	took             []float64
}

func (t *traffic) measure(s Service, instance, version string, minute float64, ok bool, took float64) {
	key := measurementKey{int(minute), s.Name, instance, version}
	m := t.measured[key]
	if m == nil {
		m = &measurement{}
		t.measured[key] = m
	}
	m.requests++
	if !ok {
		m.errors++
	}
	m.took = append(m.took, took)
}

func (t *traffic) measurements() {
	keys := slices.SortedFunc(maps.Keys(t.measured), func(a, b measurementKey) int {
		return cmp.Or(a.minute-b.minute, cmp.Compare(a.instance, b.instance))
	})
	for _, k := range keys {
		m := t.measured[k]
		slices.Sort(m.took)
		sum := 0.0
		for _, v := range m.took {
			sum += v
		}
		t.add(Mesh, fmt.Sprintf("%s-%d", k.instance, k.minute), "service.measured", t.At(float64(k.minute+1)), 2*time.Second, false, map[string]any{
			"service": k.service, "environment": t.Environment, "instance": k.instance, "version": k.version, "interval_ms": 60000,
			"requests": m.requests, "errors": m.errors,
			"latency_ms":     math.Round(sum/float64(len(m.took))*10) / 10,
			"latency_p99_ms": math.Round(m.took[len(m.took)*99/100]*10) / 10,
		})
	}
}
