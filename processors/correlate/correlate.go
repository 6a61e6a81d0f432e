package correlate

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Key names an effect.
type Key struct{ Kind, ID string }

// State says of an effect what its current ranking was computed from, and what
// it would be computed from now.
type State struct {
	Key      Key
	Detected event.Millis
	Number   uint64 // of the current ranking; 0: none
	Ranked   uint64 // its digest
	Model    string // its model
	Digest   uint64 // of what is stored
}

// Scope is the effects that something may concern: those detected after Since,
// those that are named, and those that blame one of the revisions or findings.
type Scope struct {
	Since  event.Millis // event.Always: every effect
	Named  []Key
	Blamed []string
	// Retold are ids of entities that something was said of. Where they are in an
	// earlier confirmation, it may be about other services now, and effects that
	// began since have another record.
	Retold []string
	// Behind, where it is not nil, is the last effect of the page before.
	Behind *State
}

// Known is a situation and the state of its effect.
type Known struct {
	Situation Situation
	State     State
	// Taken is when Kafka took the last fact about the effect.
	Taken event.Millis
}

// Kept is a ranking as it is stored and published.
type Kept struct {
	Ranking
	Number     uint64 // 1, 2, ... of this effect
	ComputedAt event.Millis
}

// Key is the effect's.
func (k *Kept) Key() Key { return Key{k.Effect.Kind, k.Effect.ID} }

// Signs tell whether something was stored. They are sums that change with it.
type Signs struct {
	Rows  uint64                  // of all observations
	Hours map[event.Millis]uint64 // of those of an hour, by its start; nil where Rows is as known
	// Conflicts is a sum over the facts that were said in two ways: which counts
	// may change what was true at the time of the other.
	Conflicts uint64
}

// Store is where facts, observations and rankings are.
type Store interface {
	// Signs are what they are now; known is what they were.
	Signs(ctx context.Context, known Signs) (Signs, error)
	// States lists effects of a scope, those detected last first.
	States(ctx context.Context, scope Scope, limit int) ([]State, error)
	// Vanished lists effects that have links and exist no more.
	Vanished(ctx context.Context, limit int) ([]State, error)
	// Load reads all about an effect; nil: there is none.
	Load(ctx context.Context, key Key) (*Known, error)
	// Keep stores a ranking; the same again changes nothing.
	Keep(ctx context.Context, k *Kept) error
	// Unpublished lists current rankings that Published was not told of.
	Unpublished(ctx context.Context, limit int) ([]Kept, error)
	Published(ctx context.Context, k *Kept) error
}

// Publisher sends rankings to the topic of links, and returns when they are
// there.
type Publisher interface {
	Publish(ctx context.Context, k *Kept) error
}

// Observer hears what a correlator does.
type Observer interface {
	// Ranked: a ranking is stored; took is for this one, late how long after
	// Kafka took the effect's last fact. Late is 0 for all but the first.
	Ranked(k *Kept, took, late time.Duration)
	// RankFailed: it will be tried again. The key is empty where it is about
	// no single effect.
	RankFailed(key Key, err error)
	// Waiting is how many effects are known to need a ranking.
	Waiting(effects int)
}

// Config sizes the work. Zero values have the defaults.
type Config struct {
	// Pause is the least time between two rankings of one effect, 0: 1 s. What
	// comes meanwhile, measurements above all, shares the next one.
	Pause time.Duration
	// Slow is how often it is asked what others have stored, 0: 10 s.
	Slow time.Duration
	// Page is how many effects are looked at at once, 0: 100.
	Page int
	// Model ranks, nil: DefaultModel.
	Model *Model
}

// Every is a good pause between two ticks of Run. A tick at which nothing is
// due asks nobody.
const Every = time.Second

// Correlator ranks effects. Run and Look are for one goroutine, Facts and Rows
// for any.
type Correlator struct {
	config    Config
	store     Store
	publisher Publisher
	clock     pipeline.Clock
	observer  Observer
	rank      func(*Situation, *Model) Ranking

	wake chan struct{}
	mu   sync.Mutex
	note note // what came since the last look

	signs     Signs
	asked     time.Time // when signs were read
	behind    sweep     // pages that wait
	next      sweep     // what came while behind was under way
	queue     []Key     // of a page behind: to be ranked
	held      map[Key]*hold
	failures  map[Key]int
	vanishing bool      // effects may have vanished
	swept     time.Time // when it was asked which
	unsent    bool      // rankings may be stored and not published
	resend    time.Time // not before
	refused   map[Key]*refusal
}

// note is what came: see Scope.
type note struct {
	since  event.Millis // event.Forever: nothing
	named  map[Key]bool
	blamed map[string]bool
	retold map[string]bool
	rows   bool
}

func newNote() note {
	return note{since: event.Forever, named: map[Key]bool{}, blamed: map[string]bool{}, retold: map[string]bool{}}
}

func (n *note) empty() bool {
	return n.since == event.Forever && len(n.named)+len(n.blamed)+len(n.retold) == 0
}

func (n *note) scope() Scope {
	s := Scope{Since: n.since}
	for key := range n.named {
		s.Named = append(s.Named, key)
	}
	for word := range n.blamed {
		s.Blamed = append(s.Blamed, word)
	}
	for id := range n.retold {
		s.Retold = append(s.Retold, id)
	}
	return s
}

// hold is until when an effect is left alone, and whether it has to be looked
// at then.
type hold struct {
	until time.Time
	again bool
}

// sweep is pages of effects that are looked at one after the other.
type sweep struct {
	scope Scope
	on    bool
}

// add makes a sweep that has not begun one of both scopes.
func (s *sweep) add(scope Scope) {
	if !s.on {
		s.scope, s.on = scope, true
		return
	}
	s.scope.Since = min(s.scope.Since, scope.Since)
	s.scope.Named = append(s.scope.Named, scope.Named...)
	s.scope.Blamed = append(s.scope.Blamed, scope.Blamed...)
	s.scope.Retold = append(s.scope.Retold, scope.Retold...)
}

// New makes a correlator.
func New(config Config, store Store, publisher Publisher, clock pipeline.Clock, observer Observer) *Correlator {
	c := &Correlator{
		config: config, store: store, publisher: publisher, clock: clock, observer: observer, rank: Rank,
		wake: make(chan struct{}, 1), note: newNote(),
	}
	if c.config.Pause == 0 {
		c.config.Pause = time.Second
	}
	if c.config.Slow == 0 {
		c.config.Slow = 10 * time.Second
	}
	if c.config.Page == 0 {
		c.config.Page = 100
	}
	if c.config.Model == nil {
		c.config.Model = DefaultModel()
	}
	c.config.Model = c.config.Model.identified()
	c.Begin()
	return c
}

// Facts says that facts are stored, and what is derived from them. It wakes
// the correlator.
func (c *Correlator) Facts(facts []event.Fact) {
	c.mu.Lock()
	for i := range facts {
		c.note.fact(&facts[i])
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Rows says that observations are stored. They wait for the next tick.
func (c *Correlator) Rows() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note.rows = true
}

// fact notes what a fact may concern. Its strings are the batch's.
func (n *note) fact(f *event.Fact) {
	switch f.Kind {
	case "retraction", "service", "identity":
		n.since = event.Always
	case Incident, Alert, Breach:
		n.named[Key{f.Kind, strings.Clone(f.EntityID)}] = true
	case Finding:
		n.finding(f.EntityID)
	case "scan":
		if s, known := f.Payload.(*event.Scan); known {
			for i := range s.Findings {
				n.finding(s.Findings[i].FindingID)
			}
		}
	case "deployment", "change", "flag", "provider", "cause":
		n.since = min(n.since, f.Time-After-1)
		for _, revision := range revisionsOf(f) {
			n.blamed[strings.Clone(revision)] = true
		}
	}
	switch f.Kind {
	case Incident, "deployment", "change", "flag": // what a confirmation names
		n.retold[strings.Clone(f.EntityID)] = true
	}
}

// finding notes one, which a breach may name too.
func (n *note) finding(id string) {
	id = strings.Clone(id)
	n.named[Key{Finding, id}] = true
	n.blamed[id] = true
}

// revisionsOf are those that a fact says to be brought, or to be a change's.
func revisionsOf(f *event.Fact) []string {
	switch p := f.Payload.(type) {
	case *event.Deployment:
		return p.Revisions
	case *event.Change:
		return append([]string{p.Revision}, p.Commits...)
	}
	return nil
}

// Begin has everything looked at anew, as after a start: nothing is known of
// what was stored before.
func (c *Correlator) Begin() {
	c.signs, c.asked = Signs{}, time.Time{}
	c.behind, c.next = sweep{}, sweep{}
	c.behind.add(Scope{Since: event.Always})
	c.queue, c.held, c.failures = nil, map[Key]*hold{}, map[Key]int{}
	c.vanishing, c.swept = true, time.Time{}
	c.unsent, c.resend, c.refused = true, time.Time{}, map[Key]*refusal{}
}

// Run looks when facts are stored, and at each tick, until ctx is done.
func (c *Correlator) Run(ctx context.Context, ticks <-chan time.Time) {
	c.Begin()
	for ctx.Err() == nil {
		c.Look(ctx)
		if len(c.queue) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-ticks:
		case <-c.wake:
		}
	}
}

// Quiet says that nothing is known that is left to do now.
func (c *Correlator) Quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.note.empty() && !c.note.rows && !c.behind.on && !c.next.on && c.waiting() == 0 && !c.vanishing && !c.unsent
}

// Look does what is due: what just came first, then what had to wait, then a
// page of what is behind.
func (c *Correlator) Look(ctx context.Context) {
	came := c.take()
	if came.rows || c.clock.Now().Sub(c.asked) >= c.config.Slow {
		c.askSigns(ctx, &came)
	}
	if !came.empty() {
		c.front(ctx, came.scope())
	}
	c.waited(ctx)
	c.page(ctx)
	for len(c.queue) > 0 && ctx.Err() == nil {
		key := c.queue[0]
		c.queue = c.queue[1:]
		c.do(ctx, key)
		if c.disturbed() { // facts go first; but one is done each time
			break
		}
	}
	c.vanished(ctx)
	c.send(ctx)
	c.observer.Waiting(c.waiting())
}

// waiting is how many effects are known to need another look.
func (c *Correlator) waiting() int {
	n := len(c.queue)
	for _, h := range c.held {
		if h.again {
			n++
		}
	}
	return n
}

func (c *Correlator) take() note {
	c.mu.Lock()
	defer c.mu.Unlock()
	came := c.note
	c.note = newNote()
	if len(came.named) > 0 || came.since == event.Always {
		c.vanishing = true
	}
	return came
}

// disturbed says that facts came, which go before what is behind.
func (c *Correlator) disturbed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.note.empty()
}

// askSigns notes which hours of observations have changed.
func (c *Correlator) askSigns(ctx context.Context, came *note) {
	signs, err := c.store.Signs(ctx, c.signs)
	if err != nil {
		c.again(came)
		c.fail(ctx, Key{}, err)
		return
	}
	first := c.asked.IsZero()
	c.asked = c.clock.Now()
	if signs.Conflicts != c.signs.Conflicts && !first {
		came.since, c.vanishing = event.Always, true
	}
	if signs.Rows == c.signs.Rows && !first {
		signs.Hours = c.signs.Hours
	}
	for hour, sum := range signs.Hours {
		if !first && c.signs.Hours[hour] != sum {
			came.since = min(came.since, hour-After-1)
		}
	}
	c.signs = signs
}

// again notes once more that there are rows that could not be asked for.
func (c *Correlator) again(came *note) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note.rows = c.note.rows || came.rows
}

// front ranks what something new concerns: incidents that it speaks of before
// anything else is even asked for, then the latest effects. If there are more
// than a page, the rest goes behind.
func (c *Correlator) front(ctx context.Context, scope Scope) {
	incidents := named(scope.Named, Incident)
	alone := len(incidents) == len(scope.Named) && len(scope.Blamed) == 0 && scope.Since == event.Forever // but for what was confirmed
	if len(incidents) > 0 && !alone {
		c.ahead(ctx, Scope{Since: event.Forever, Named: incidents})
	}
	c.ahead(ctx, scope)
}

func named(all []Key, kind string) []Key {
	return slices.DeleteFunc(slices.Clone(all), func(key Key) bool { return key.Kind != kind })
}

func (c *Correlator) ahead(ctx context.Context, scope Scope) {
	states, err := c.store.States(ctx, scope, c.config.Page)
	if err != nil {
		c.next.add(scope)
		c.fail(ctx, Key{}, err)
		return
	}
	if len(states) == c.config.Page {
		c.next.add(scope)
	}
	var stale []Key
	for i := range states {
		if c.stale(&states[i]) {
			stale = append(stale, states[i].Key)
		}
	}
	slices.SortStableFunc(stale, byUrgency)
	for i, key := range stale {
		if i > 0 && c.disturbed() {
			c.queue = append(slices.Clone(stale[i:]), c.queue...)
			slices.SortStableFunc(c.queue, byUrgency) // of two storms' incidents none waits for alerts
			return
		}
		c.do(ctx, key)
	}
}

// byUrgency orders what is ranked at one moment: people look at incidents first.
func byUrgency(a, b Key) int { return cmp.Compare(urgency(a), urgency(b)) }

func urgency(k Key) int { return slices.Index([]string{Incident, Breach, Alert, Finding}, k.Kind) }

func (c *Correlator) stale(s *State) bool {
	return s.Number == 0 || s.Ranked != s.Digest || s.Model != c.config.Model.Name
}

// page looks at the next page of what is behind.
func (c *Correlator) page(ctx context.Context) {
	if !c.behind.on {
		c.behind, c.next = c.next, sweep{}
	}
	if !c.behind.on || len(c.queue) > 0 || ctx.Err() != nil {
		return
	}
	states, err := c.store.States(ctx, c.behind.scope, c.config.Page)
	if err != nil {
		c.fail(ctx, Key{}, err)
		return
	}
	for i := range states {
		if c.stale(&states[i]) {
			c.queue = append(c.queue, states[i].Key)
		}
	}
	if len(states) < c.config.Page {
		c.behind = sweep{}
		return
	}
	c.behind.scope.Behind = &states[len(states)-1]
}

// waited ranks those that have failed, or that something came for when they had
// just been ranked, once their time has come.
func (c *Correlator) waited(ctx context.Context) {
	now := c.clock.Now()
	var due []Key
	for key, h := range c.held {
		switch {
		case now.Before(h.until):
		case h.again:
			due = append(due, key)
		default:
			delete(c.held, key)
		}
	}
	slices.SortFunc(due, func(a, b Key) int { return cmp.Or(byUrgency(a, b), strings.Compare(a.Kind+a.ID, b.Kind+b.ID)) })
	for i, key := range due {
		if i > 0 && c.disturbed() {
			return // they are held until the next look, behind what came
		}
		delete(c.held, key)
		c.do(ctx, key)
	}
}

// do ranks an effect, unless it has to wait. Whatever goes wrong concerns this
// one alone, which is tried again after a growing pause.
func (c *Correlator) do(ctx context.Context, key Key) {
	if ctx.Err() != nil {
		return
	}
	if h := c.held[key]; h != nil {
		h.again = true
		return
	}
	begun := c.clock.Now()
	ranked, err := c.try(ctx, key, begun)
	switch {
	case err != nil && ctx.Err() == nil:
		c.failures[key]++
		c.held[key] = &hold{c.clock.Now().Add(pauseAfter(c.config.Pause, c.failures[key])), true}
		c.fail(ctx, key, err)
	case err == nil:
		delete(c.failures, key)
		if ranked { // and not more than a tenth of the time
			now := c.clock.Now()
			c.held[key] = &hold{until: now.Add(max(c.config.Pause, 10*now.Sub(begun)))}
		}
	}
}

// pauseAfter doubles with each failure, up to a hundred pauses.
func pauseAfter(pause time.Duration, failures int) time.Duration {
	return min(pause<<min(failures-1, 7), 100*pause)
}

// try ranks an effect, and says whether it had to be.
func (c *Correlator) try(ctx context.Context, key Key, begun time.Time) (ranked bool, err error) {
	known, err := c.store.Load(ctx, key)
	if err != nil {
		return false, err
	}
	if known == nil {
		c.vanishing = true
		return false, nil
	}
	if !c.stale(&known.State) {
		return false, nil
	}
	ranking, err := c.ranking(&known.Situation)
	if err != nil {
		return false, err
	}
	k := &Kept{Ranking: ranking, Number: known.State.Number + 1, ComputedAt: event.MillisOf(c.clock.Now())}
	if err := c.store.Keep(ctx, k); err != nil {
		c.sendLater() // it may be there
		return false, err
	}
	late := time.Duration(0)
	if k.Number == 1 {
		late = time.Duration(k.ComputedAt-known.Taken) * time.Millisecond
	}
	c.observer.Ranked(k, c.clock.Now().Sub(begun), late)
	pipeline.Failpoint("correlate/after-keep")
	c.publish(ctx, k)
	return true, nil
}

// ranking is Rank, whose panics are errors: data of other people's must not
// stop a worker.
func (c *Correlator) ranking(s *Situation) (r Ranking, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this is a bug, please report it with the facts of the effect: %v\n%s", p, debug.Stack())
		}
	}()
	return c.rank(s, c.config.Model), nil
}

// publish sends a ranking that is stored. What can't be sent is sent later.
func (c *Correlator) publish(ctx context.Context, k *Kept) bool {
	err := c.publisher.Publish(ctx, k)
	pipeline.Failpoint("correlate/after-publish")
	if err == nil {
		err = c.store.Published(ctx, k)
	}
	if err == nil {
		return true
	}
	c.sendLater()
	c.fail(ctx, k.Key(), fmt.Errorf("publish: %w", err))
	return false
}

// sendLater says that something may be stored and not on the topic.
func (c *Correlator) sendLater() { c.unsent, c.resend = true, c.clock.Now().Add(c.config.Pause) }

// send publishes what is stored and may not be on the topic. One that can't be
// sent is left out for a while, so that it does not keep back the others; where
// several can't, the topic is away.
func (c *Correlator) send(ctx context.Context) {
	now := c.clock.Now()
	if !c.unsent || ctx.Err() != nil || now.Before(c.resend) {
		return
	}
	asked := c.config.Page + len(c.refused)
	kept, err := c.store.Unpublished(ctx, asked)
	if err != nil {
		c.resend = now.Add(c.config.Pause)
		c.fail(ctx, Key{}, err)
		return
	}
	left, failed := len(kept) == asked, 0
	for i := range kept {
		r := c.refused[kept[i].Key()]
		if r != nil && now.Before(r.until) || failed == tooMany {
			left = true
			continue
		}
		if c.publish(ctx, &kept[i]) {
			delete(c.refused, kept[i].Key())
			continue
		}
		left, failed = true, failed+1
		c.refuse(kept[i].Key())
	}
	if c.unsent = left; !left {
		c.refused = map[Key]*refusal{}
	}
}

// tooMany refusals in a row of messages: the topic is away.
const tooMany = 2

// refusal is how often a message could not be sent, and until when it is left
// out.
type refusal struct {
	times int
	until time.Time
}

func (c *Correlator) refuse(key Key) {
	r := c.refused[key]
	if r == nil {
		r = &refusal{}
		c.refused[key] = r
	}
	r.times++
	r.until = c.clock.Now().Add(pauseAfter(c.config.Pause, r.times))
}

// vanished gives effects that exist no more a ranking without links. The
// question is about all effects: while others wait it is asked now and then.
func (c *Correlator) vanished(ctx context.Context) {
	busy := c.behind.on || len(c.queue) > 0
	if !c.vanishing || busy && c.clock.Now().Sub(c.swept) < c.config.Slow || ctx.Err() != nil {
		return
	}
	c.swept = c.clock.Now()
	gone, err := c.store.Vanished(ctx, c.config.Page)
	if err != nil {
		c.fail(ctx, Key{}, err)
		return
	}
	c.vanishing = len(gone) == c.config.Page
	for _, s := range gone {
		k := &Kept{Number: s.Number + 1, ComputedAt: event.MillisOf(c.clock.Now())}
		k.Effect.Kind, k.Effect.ID, k.Model = s.Key.Kind, s.Key.ID, c.config.Model.Name
		if err := c.store.Keep(ctx, k); err != nil {
			c.vanishing = true
			c.sendLater()
			c.fail(ctx, s.Key, err)
			return
		}
		c.observer.Ranked(k, 0, 0)
		c.publish(ctx, k)
	}
}

func (c *Correlator) fail(ctx context.Context, key Key, err error) {
	if ctx.Err() == nil {
		c.observer.RankFailed(key, err)
	}
}
