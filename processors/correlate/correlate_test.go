package correlate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/schemas/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const aMinute = 60_000

// world is a model of the tables: effects by when they were detected, and
// what was said at which time. What an effect's ranking rests on is all that
// was said before its window's end.
type world struct {
	effects   map[Key]event.Millis
	said      map[string]event.Millis // facts that may be to blame
	rows      map[event.Millis]uint64 // minute → sum
	calls     map[event.Millis]bool   // hours in which neighbours called each other
	conflicts uint64
	confirmed map[string]event.Millis // entity → when it was confirmed to be a cause, or to have one
	told      map[string]uint64       // entity → how often it was spoken of

	kept      map[Key][]Kept
	published map[Key]uint64
	topic     []Kept

	questions int
	loads     int
	broken    map[Key]bool // Load fails
	down      error        // everything does
	mute      error        // Publish does
	poison    map[Key]bool // Publish does of these
	deaf      error        // Keep does, and has stored the ranking
	crash     func(step string)
}

func newWorld() *world {
	return &world{
		effects: map[Key]event.Millis{}, said: map[string]event.Millis{}, rows: map[event.Millis]uint64{}, calls: map[event.Millis]bool{},
		confirmed: map[string]event.Millis{}, told: map[string]uint64{},
		kept: map[Key][]Kept{}, published: map[Key]uint64{}, broken: map[Key]bool{}, crash: func(string) {},
	}
}

func (w *world) digest(key Key) uint64 {
	until := w.effects[key] + After
	digest := uint64(until) * 31
	for name, at := range w.said {
		if at < until {
			for _, b := range []byte(name) {
				digest += uint64(b) * uint64(at+7)
			}
		}
	}
	// Of measurements those of its own minutes, which are those before this one.
	for at, sum := range w.rows {
		if at < until {
			digest += sum * 1_000_003
		}
	}
	// Who its neighbours are is known by the hour, up to the end of the window's last.
	for hour := range w.calls {
		if hour < until {
			digest += uint64(hour+11) * 1_000_033
		}
	}
	for name, at := range w.confirmed {
		if at < w.effects[key] {
			digest += (uint64(at) + w.told[name]*77) * 1_000_037
		}
	}
	return digest
}

func (w *world) last(key Key) Kept {
	if all := w.kept[key]; len(all) > 0 {
		return all[len(all)-1]
	}
	return Kept{}
}

func (w *world) state(key Key) State {
	last := w.last(key)
	s := State{Key: key, Detected: w.effects[key], Number: last.Number, Ranked: last.Digest, Model: last.Model, Digest: w.digest(key)}
	if len(last.Links) == 0 {
		s.Ranked = 0
	}
	return s
}

func (w *world) Signs(context.Context, Signs) (Signs, error) {
	w.questions++
	signs := Signs{Hours: map[event.Millis]uint64{}, Conflicts: w.conflicts}
	for at, sum := range w.rows {
		signs.Rows += sum
		signs.Hours[hourOf(at)] += sum
	}
	return signs, w.down
}

func hourOf(at event.Millis) event.Millis { return at - at%3_600_000 }

func after(a, b State) int {
	return cmp.Or(cmp.Compare(b.Detected, a.Detected), cmp.Compare(b.Key.Kind, a.Key.Kind), cmp.Compare(b.Key.ID, a.Key.ID))
}

func (w *world) States(_ context.Context, scope Scope, limit int) ([]State, error) {
	w.questions++
	var all []State
	for _, id := range scope.Retold {
		if at, there := w.confirmed[id]; there {
			scope.Since = min(scope.Since, at)
		}
	}
	for key, detected := range w.effects {
		s := w.state(key)
		if (scope.Since == event.Always || detected > scope.Since || slices.Contains(scope.Named, key)) &&
			(scope.Behind == nil || after(*scope.Behind, s) < 0) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, after)
	return all[:min(limit, len(all))], w.down
}

func (w *world) Vanished(_ context.Context, limit int) ([]State, error) {
	w.questions++
	var gone []State
	for key := range w.kept {
		if _, there := w.effects[key]; !there && len(w.last(key).Links) > 0 {
			gone = append(gone, State{Key: key, Number: w.last(key).Number})
		}
	}
	slices.SortFunc(gone, after)
	return gone[:min(limit, len(gone))], w.down
}

func (w *world) Load(_ context.Context, key Key) (*Known, error) {
	w.loads++
	if w.down != nil {
		return nil, w.down
	}
	if w.broken[key] {
		return nil, errors.New("hostile")
	}
	if _, there := w.effects[key]; !there {
		return nil, nil
	}
	s := w.state(key)
	return &Known{State: s, Situation: Situation{Effect: Effect{Kind: key.Kind, ID: key.ID}, Digest: s.Digest}}, nil
}

func (w *world) Keep(_ context.Context, k *Kept) error {
	if w.down != nil {
		return w.down
	}
	w.crash("before keep")
	w.kept[k.Key()] = append(w.kept[k.Key()], *k)
	w.crash("after keep")
	return w.deaf
}

func (w *world) Unpublished(_ context.Context, limit int) ([]Kept, error) {
	w.questions++
	var all []Kept
	for key := range w.kept {
		if last := w.last(key); last.Number > w.published[key] {
			all = append(all, last)
		}
	}
	slices.SortFunc(all, func(a, b Kept) int {
		return cmp.Or(cmp.Compare(a.ComputedAt, b.ComputedAt), strings.Compare(a.Effect.ID, b.Effect.ID))
	})
	return all[:min(limit, len(all))], w.down
}

func (w *world) Published(_ context.Context, k *Kept) error {
	if w.down != nil {
		return w.down
	}
	w.published[k.Key()] = max(w.published[k.Key()], k.Number)
	w.crash("after published")
	return nil
}

func (w *world) Publish(_ context.Context, k *Kept) error {
	if err := cmp.Or(w.down, w.mute); err != nil {
		return err
	}
	if w.poison[k.Key()] {
		return errors.New("too large")
	}
	w.topic = append(w.topic, *k)
	w.crash("after publish")
	return nil
}

// events heard.
type heard struct {
	ranked, failed int
	waiting        int
}

func (h *heard) Ranked(*Kept, time.Duration, time.Duration) { h.ranked++ }
func (h *heard) RankFailed(Key, error)                      { h.failed++ }
func (h *heard) Waiting(n int)                              { h.waiting = n }

type handClock struct{ now time.Time }

func (c *handClock) Now() time.Time                            { return c.now }
func (c *handClock) Sleep(context.Context, time.Duration) bool { return true }

// rig is a correlator over a world, ranking by the digest alone.
type rig struct {
	*world
	*Correlator
	clock *handClock
	heard *heard
}

func newRig(w *world) *rig {
	r := &rig{world: w, clock: &handClock{time.UnixMilli(1_700_000_000_000)}, heard: &heard{}}
	r.start()
	return r
}

// start is a worker that has just come to own the context log.
func (r *rig) start() {
	r.Correlator = New(Config{Page: 3, Model: &Model{Name: "m"}}, r.world, r.world, r.clock, r.heard)
	r.Correlator.rank = func(s *Situation, m *Model) Ranking {
		return Ranking{Effect: s.Effect, Digest: s.Digest, Model: m.Name, Links: []Link{{CauseKind: None, Rank: 1, Probability: 1}}}
	}
}

// settle looks until nothing is left to do.
func (r *rig) settle(t interface{ Fatal(...any) }) {
	for range 1000 {
		r.clock.now = r.clock.now.Add(time.Second)
		r.Look(context.Background())
		if r.Quiet() {
			return
		}
	}
	t.Fatal("it never comes to rest")
}

// right says what is wrong with rankings when quiet.
func (w *world) right() error {
	for key := range w.effects {
		if last := w.last(key); last.Digest != w.digest(key) || len(last.Links) == 0 {
			return fmt.Errorf("%v is ranked by what was known of it, and no more is", key)
		}
	}
	onTopic := map[Key]Kept{}
	for _, k := range w.topic {
		if k.Number >= onTopic[k.Key()].Number {
			onTopic[k.Key()] = k
		}
	}
	for key, all := range w.kept {
		if _, there := w.effects[key]; !there && len(w.last(key).Links) > 0 {
			return fmt.Errorf("%v is gone and has links", key)
		}
		for i, k := range all {
			if k.Number != uint64(i+1) {
				return fmt.Errorf("%v: number %d comes after %d others", key, k.Number, i)
			}
			if i > 0 && k.Digest == all[i-1].Digest && len(k.Links) == len(all[i-1].Links) {
				return fmt.Errorf("%v: rankings %d and %d say the same", key, i, i+1)
			}
		}
		if k := onTopic[key]; k.Number != w.last(key).Number || k.Digest != w.last(key).Digest {
			return fmt.Errorf("%v: the topic has ranking %d, and %d is current", key, k.Number, w.last(key).Number)
		}
	}
	return nil
}

func fact(kind, id string, at event.Millis) []event.Fact {
	return []event.Fact{{Event: event.Event{Time: at}, Kind: kind, EntityID: id}}
}

func (r *rig) open(id string, at event.Millis) {
	r.effects[Key{Incident, id}] = at
	r.Facts(fact(Incident, id, at))
}

func (r *rig) deploy(id string, at event.Millis) {
	r.said[id] = at
	r.Facts(fact("deployment", id, at))
}

func (r *rig) measure(at event.Millis) {
	r.rows[at]++
	r.Rows()
}

// call is a measurement that says who a service's neighbour is.
func (r *rig) call(at event.Millis) {
	r.calls[hourOf(at)] = true
	r.measure(at)
}

type crashed struct{}

// look is one look that may crash; the worker that comes after it starts anew.
func (r *rig) look() {
	defer func() {
		if p := recover(); p != nil {
			if _, meant := p.(crashed); !meant {
				panic(p)
			}
			r.crash = func(string) {}
			r.start()
		}
	}()
	r.Look(context.Background())
}

func TestWhateverComesInWhateverOrderAndWithAnyCrashRankingsAreRightWhenQuiet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(newWorld())
		moment := rapid.Custom(func(t *rapid.T) event.Millis { return event.Millis(rapid.IntRange(0, 200).Draw(t, "minute")) * aMinute })
		id := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
		deployed := 0
		t.Repeat(map[string]func(*rapid.T){
			"open":    func(t *rapid.T) { r.open(id.Draw(t, "id"), moment.Draw(t, "at")) },
			"deploy":  func(t *rapid.T) { deployed++; r.deploy(fmt.Sprint(deployed), moment.Draw(t, "at")) },
			"measure": func(t *rapid.T) { r.measure(moment.Draw(t, "at")) },
			"others measure": func(t *rapid.T) {
				r.rows[moment.Draw(t, "at")]++
			},
			"call": func(t *rapid.T) { r.call(moment.Draw(t, "at")) },
			"retract": func(t *rapid.T) {
				delete(r.effects, Key{Incident, id.Draw(t, "id")})
				delete(r.said, fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "deployment")))
				r.Facts(fact("retraction", "", moment.Draw(t, "at")))
			},
			"another content counts": func(t *rapid.T) {
				if name := fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "deployment")); r.said[name] != 0 {
					r.said[name] = moment.Draw(t, "at")
					r.conflicts++
					r.Facts(fact("deployment", name, r.said[name]))
				}
			},
			"confirm": func(t *rapid.T) {
				if name := id.Draw(t, "id"); r.confirmed[name] == 0 {
					r.confirmed[name] = moment.Draw(t, "at")
					r.Facts(fact("cause", "", r.confirmed[name]))
				}
			},
			"something else is said of what was confirmed": func(t *rapid.T) {
				name := id.Draw(t, "id")
				r.told[name]++
				r.Facts(fact(rapid.SampledFrom([]string{Incident, "deployment", "change", "flag"}).Draw(t, "kind"), name, moment.Draw(t, "at")))
			},
			"look": func(*rapid.T) { r.look() },
			"wait": func(t *rapid.T) {
				r.clock.now = r.clock.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
			},
			"server away":  func(*rapid.T) { r.down = errors.New("away") },
			"server back":  func(*rapid.T) { r.down = nil },
			"topic away":   func(*rapid.T) { r.mute = errors.New("away") },
			"topic back":   func(*rapid.T) { r.mute = nil },
			"answers lost": func(*rapid.T) { r.deaf = errors.New("lost") },
			"answers come": func(*rapid.T) { r.deaf = nil },
			"crash": func(t *rapid.T) {
				step := rapid.SampledFrom([]string{"before keep", "after keep", "after publish", "after published"}).Draw(t, "step")
				r.crash = func(now string) {
					if now == step {
						panic(crashed{})
					}
				}
				r.look()
				r.crash = func(string) {}
			},
		})
		r.down, r.mute, r.deaf = nil, nil, nil
		r.clock.now = r.clock.now.Add(time.Minute) // what others have stored is asked for now and then
		r.settle(t)
		r.clock.now = r.clock.now.Add(time.Minute)
		r.settle(t)
		if err := r.right(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNothingIsAskedWhileNothingComes(t *testing.T) {
	r := newRig(newWorld())
	r.config.Slow = time.Minute
	r.open("a", aMinute)
	r.settle(t)
	asked, loads := r.questions, r.loads
	for range 5 {
		r.clock.now = r.clock.now.Add(time.Second)
		r.Look(t.Context())
	}
	if r.questions != asked || r.loads != loads {
		t.Errorf("%d questions and %d loads in five seconds of rest", r.questions-asked, r.loads-loads)
	}
	r.clock.now = r.clock.now.Add(time.Minute)
	r.Look(t.Context())
	if r.questions != asked+1 || r.loads != loads {
		t.Errorf("%d questions and %d loads when it is asked what others have stored", r.questions-asked, r.loads-loads)
	}
}

func TestAFailureOfOneEffectHurtsOnlyIt(t *testing.T) {
	r := newRig(newWorld())
	r.broken[Key{Incident, "b"}] = true
	panics := Key{Incident, "c"}
	rank := r.Correlator.rank
	r.Correlator.rank = func(s *Situation, m *Model) Ranking {
		if s.Effect.ID == panics.ID {
			panic("hostile data")
		}
		return rank(s, m)
	}
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		r.open(id, event.Millis(i)*aMinute)
	}
	for range 10 {
		r.clock.now = r.clock.now.Add(200 * time.Millisecond)
		r.Look(t.Context())
	}
	for _, id := range []string{"a", "d", "e"} {
		if r.last(Key{Incident, id}).Number == 0 {
			t.Errorf("%s is not ranked", id)
		}
	}
	if r.heard.failed < 2 || r.heard.failed > 6 {
		t.Errorf("%d failures in two seconds: of each of two one, and one or two more after a pause", r.heard.failed)
	}
	r.broken, r.Correlator.rank = map[Key]bool{}, rank
	r.settle(t)
	if err := r.right(); err != nil {
		t.Error(err)
	}
}

func TestAnEffectThatChangesAllTheTimeIsRankedNowAndThen(t *testing.T) {
	r := newRig(newWorld())
	r.open("a", aMinute)
	for i := range 60 {
		r.deploy(fmt.Sprint(i), event.Millis(i)+1)
		r.Look(t.Context())
		r.clock.now = r.clock.now.Add(200 * time.Millisecond)
	}
	if n := len(r.kept[Key{Incident, "a"}]); n < 10 || n > 14 {
		t.Errorf("%d rankings in twelve seconds, want one a second", n)
	}
	r.settle(t)
	if err := r.right(); err != nil {
		t.Error(err)
	}
}

func TestANewIncidentGoesBeforeWhatIsBehind(t *testing.T) {
	r := newRig(newWorld())
	for i := range 50 {
		r.effects[Key{Alert, fmt.Sprint(i)}] = event.Millis(i) * aMinute
	}
	r.Correlator.rank = func(rank func(*Situation, *Model) Ranking) func(*Situation, *Model) Ranking {
		return func(s *Situation, m *Model) Ranking {
			if s.Effect.ID == "48" {
				r.open("urgent", 5*aMinute)
			}
			return rank(s, m)
		}
	}(r.Correlator.rank)
	r.Look(t.Context())
	r.Look(t.Context())
	if r.last(Key{Incident, "urgent"}).Number == 0 {
		t.Errorf("it waits behind %d alerts of long ago", len(r.effects))
	}
	r.settle(t)
	if err := r.right(); err != nil {
		t.Error(err)
	}
}

func TestAnIncidentThatComesWithAStormOfAlertsIsRankedFirst(t *testing.T) {
	r := newRig(newWorld())
	r.settle(t)
	var order []string
	rank := r.Correlator.rank
	r.Correlator.rank = func(s *Situation, m *Model) Ranking {
		order = append(order, s.Effect.ID)
		return rank(s, m)
	}
	r.open("incident", 1000)
	for i := range 12 { // more than a page, and detected later
		r.alert(fmt.Sprint("alert ", i), event.Millis(2000+i))
	}
	r.settle(t)
	if len(order) != 13 || order[0] != "incident" {
		t.Errorf("ranked in the order %v", order)
	}
}

func (r *rig) alert(id string, at event.Millis) {
	r.effects[Key{Alert, id}] = at
	r.Facts(fact(Alert, id, at))
}

// storm has two alerts come with each ranking.
func (r *rig) storm(most int) {
	rank, n := r.Correlator.rank, 0
	r.Correlator.rank = func(s *Situation, m *Model) Ranking {
		for range 2 {
			if n++; n < most {
				r.alert(fmt.Sprint("storm ", n), event.Millis(10_000+n))
			}
		}
		return rank(s, m)
	}
	r.alert("storm", 10_000)
}

func TestSeveralIncidentsInAStormOfAlertsWaitForNoAlert(t *testing.T) {
	r := newRig(newWorld())
	r.settle(t)
	r.storm(1000)
	for i := range 3 {
		r.open(fmt.Sprint(i), event.Millis(i)+1)
	}
	for range 3 {
		r.Look(t.Context())
	}
	for i := range 3 {
		if r.last(Key{Incident, fmt.Sprint(i)}).Number == 0 {
			t.Errorf("incident %d waits behind alerts", i)
		}
	}
}

func TestWhatIsGoneLosesItsLinksThoughAStormGoesOn(t *testing.T) {
	r := newRig(newWorld())
	r.open("a", aMinute)
	r.settle(t)
	r.storm(1000)
	for second := range 50 {
		if second == 10 {
			delete(r.effects, Key{Incident, "a"})
			r.Facts(fact("retraction", "", aMinute))
		}
		r.clock.now = r.clock.now.Add(time.Second)
		r.Look(t.Context())
	}
	if r.Quiet() {
		t.Fatal("the storm is over")
	}
	if n := len(r.last(Key{Incident, "a"}).Links); n > 0 {
		t.Errorf("it has %d links still", n)
	}
}

func TestOneMessageThatCannotBeSentKeepsBackNoOther(t *testing.T) {
	r := newRig(newWorld())
	r.mute = errors.New("away")
	for i := range 10 {
		r.open(fmt.Sprint(i), event.Millis(i)*aMinute)
	}
	r.poison = map[Key]bool{{Incident, "9"}: true, {Incident, "8"}: true, {Incident, "3"}: true, {Incident, "2"}: true}
	for range 20 {
		r.Look(t.Context())
	}
	r.mute, r.heard.failed = nil, 0
	for range 100 {
		r.clock.now = r.clock.now.Add(time.Second)
		r.Look(t.Context())
	}
	if len(r.published) != 6 {
		t.Errorf("%d of the other six rankings are on the topic", len(r.published))
	}
	if r.heard.failed > 60 {
		t.Errorf("%d failures in a hundred seconds: of each fewer and fewer are wanted", r.heard.failed)
	}
	r.poison = nil
	r.settle(t)
	if err := r.right(); err != nil {
		t.Error(err)
	}
}

func TestAnotherModelRanksEverythingAnew(t *testing.T) {
	r := newRig(newWorld())
	r.open("a", aMinute)
	r.settle(t)
	r.start()
	r.config.Model = &Model{Name: "m/2"}
	r.settle(t)
	if k := r.last(Key{Incident, "a"}); k.Number != 2 || k.Model != "m/2" {
		t.Errorf("%+v", k)
	}
}

func TestOtherWeightsUnderTheSameNameRankEverythingAnew(t *testing.T) {
	r := newRig(newWorld())
	r.open("a", aMinute)
	r.settle(t)
	for i, weights := range []map[string]float64{{"distance": 1}, {"distance": 1}, {"distance": 1, "recency": 0.5}, {"distance": 1, "recency": -0.5}} {
		r.Correlator = New(Config{Page: 3, Model: &Model{Name: "m", Weights: weights}}, r.world, r.world, r.clock, r.heard)
		r.settle(t)
		if k, want := r.last(Key{Incident, "a"}), []uint64{2, 2, 3, 4}[i]; k.Number != want || !strings.HasPrefix(k.Model, "m#") {
			t.Errorf("%v: ranking %d by %q, want ranking %d", weights, k.Number, k.Model, want)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r := newRig(newWorld())
	r.open("a", aMinute)
	ctx, cancel := context.WithCancel(t.Context())
	r.crash = func(step string) {
		if step == "after published" {
			cancel()
		}
	}
	r.Run(ctx, make(chan time.Time))
	if len(r.topic) != 1 {
		t.Errorf("%d rankings on the topic", len(r.topic))
	}
}
