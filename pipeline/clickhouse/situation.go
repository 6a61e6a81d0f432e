package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Situations reads what is known about effects: what causes are ranked by. The
// types here have the fields of those in processors/correlate, which this
// package may not know.
type Situations struct {
	client *Client
	spans  Spans
	most   int // measurements that are read one by one

	mu      sync.Mutex
	known   [2]uint64 // the signs that catalog and history were read at
	catalog *catalog
	history []confirmation
	recent  map[tables.EffectKey]*EffectState // what States said at since
	since   time.Time
}

// Spans are the times around an effect that are looked at, in milliseconds.
type Spans struct {
	Before     event.Millis // measurements before the onset
	After      event.Millis // evidence after the detection
	Longest    event.Millis // from the onset on, measurements are read at most
	Lookback   event.Millis // before the onset a change may have ended
	Breach     event.Millis // the same for a breach
	InProgress event.Millis // before that a deployment may have begun
	Merged     event.Millis // before the onset a change that a deployment carries was merged
}

// NewSituations makes a reader.
func NewSituations(c *Client, s Spans) *Situations {
	return &Situations{client: c, spans: s, most: 200_000}
}

// Effect is what a cause is looked for.
type Effect struct {
	Kind, ID             string
	Service, Environment string
	Services             []string
	Title, Severity      string
	Onset, Detected      event.Millis
	Introduced, Revision string
	Repository           string
	FindingKind          string
}

// Candidate is a change that may be to blame.
type Candidate struct {
	Kind, ID                 string
	Service                  string
	Services                 []string
	Version, PreviousVersion string
	Began, Ended             event.Millis
	Outcome                  string
	Stages                   []Stage
	Revisions                []string
	Changes                  []string
	Size                     float64
	RollbackOf               string
	Summary                  string
	Confirmed, Refuted       int
}

// Stage is one step of a deployment.
type Stage struct {
	At             event.Millis
	Percent        float64
	Added, Removed []string
}

// Measurement is one interval of one instance on one edge, NaN where unstated.
type Measurement struct {
	At                         event.Millis
	Interval                   float64
	Source                     string
	Service, Instance, Version string
	Caller, Callee             string
	Requests, Errors           float64
	Success                    float64
	Latency, P99               float64
	CPU, Memory                float64
}

// Situation is everything that is known about an effect at a revision.
type Situation struct {
	Effect       Effect
	Candidates   []Candidate
	DependsOn    map[string][]string
	Measurements []Measurement
	WeekBefore   []Measurement
	From, To     event.Millis
	// Coarse: there were too many measurements, and those of the services around,
	// or of all, are put together by the minute.
	Coarse   bool
	Revision uint64
	Digest   uint64
	// State is of the effect, KnownAt when Kafka took the last fact about it.
	State   EffectState
	KnownAt event.Millis
}

// EffectState says of an effect whether its ranking is still right.
type EffectState struct {
	Key           tables.EffectKey
	Detected      event.Millis
	Number        uint64 // of its current ranking; 0: none
	Ranked        uint64 // the digest of that
	Model         string // and its model
	Digest        uint64 // of what is stored now
	KnownAt       event.Millis
	effect        Effect
	window        tables.Window
	neighbourhood *neighbourhood
	ways          [][2]string // calls beyond it, to what the facts name
	history       []confirmation
}

// States lists the effects of a scope, those detected last first, at most
// limit. Retold are ids of entities that something was said of: effects that
// began after one was confirmed are in the scope too.
func (r *Situations) States(ctx context.Context, scope tables.EffectScope, retold []string, limit int) ([]EffectState, error) {
	states, err := r.states(ctx, func(history []confirmation) string {
		scope.Since = min(scope.Since, confirmedSince(history, retold))
		return scope.Question(limit)
	})
	if err != nil {
		return nil, fmt.Errorf("which effects to rank: %w", err)
	}
	r.remember(states)
	return states, nil
}

// fresh is how old a state may be that is loaded by: an older digest is right
// too, but what has come since would rank the effect a second time.
const fresh = time.Second

func (r *Situations) remember(states []EffectState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recent, r.since = map[tables.EffectKey]*EffectState{}, time.Now()
	for i := range states {
		r.recent[states[i].Key] = &states[i]
	}
}

// recall returns what States has just said of an effect, once.
func (r *Situations) recall(key tables.EffectKey) *EffectState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.recent[key]
	delete(r.recent, key)
	if time.Since(r.since) > fresh {
		return nil
	}
	return s
}

// Load reads the situation of an effect; nil: there is no such effect.
func (r *Situations) Load(ctx context.Context, key tables.EffectKey) (*Situation, error) {
	s, err := r.load(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("situation of %s %s: %w", key.Kind, key.ID, err)
	}
	return s, nil
}

func (r *Situations) load(ctx context.Context, key tables.EffectKey) (*Situation, error) {
	revision, err := r.client.StoredRevision(ctx)
	if err != nil {
		return nil, err
	}
	// The digest first: what is stored while the rest is read makes it differ
	// from the next one.
	state := r.recall(key)
	if state == nil {
		states, err := r.states(ctx, func([]confirmation) string { return tables.NamedEffects([]tables.EffectKey{key}) })
		if err != nil || len(states) == 0 {
			return nil, err
		}
		state = &states[0]
	}
	s := &Situation{
		Effect: state.effect, From: state.window.From, To: state.window.To, Revision: revision,
		Digest: state.Digest, State: *state, KnownAt: state.KnownAt,
	}
	names := state.neighbourhood
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.Candidates, err = r.candidates(ctx, state)
		return err
	})
	if s.From < s.To && len(names.reporters) > 0 {
		group.Go(func() (err error) {
			s.Measurements, s.Coarse, err = r.measured(ctx, state)
			return err
		})
		group.Go(func() (err error) {
			from, to := s.From-tables.Week, s.To-tables.Week
			s.WeekBefore, err = r.measurements(ctx, tables.MeasuredMinutes(s.Effect.Environment, names.own, from, to), names.catalog, math.MaxInt)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	s.DependsOn = names.dependsOn(s.Measurements, state.ways)
	return s, nil
}

// Vanished lists effects that have links and are none any more, with the
// numbers of their rankings.
func (r *Situations) Vanished(ctx context.Context, limit int) ([]EffectState, error) {
	var gone []EffectState
	err := r.client.rows(ctx, tables.VanishedEffects(limit), func(scan func(...any) error) error {
		var s EffectState
		defer func() { gone = append(gone, s) }()
		return scan(&s.Key.Kind, &s.Key.ID, &s.Number)
	})
	if err != nil {
		return nil, fmt.Errorf("effects that are gone: %w", err)
	}
	return gone, nil
}

// LinkSigns tell whether anything was stored: sums of the touches of all
// observations and of each hour's, and a sum over what was said in two ways.
type LinkSigns struct {
	Touch, Conflicts uint64
	Hours            map[event.Millis]uint64 // nil where Touch is as known
}

// Signs are what they are now. The hours are asked for only where something has
// changed since known.
func (r *Situations) Signs(ctx context.Context, known uint64) (s LinkSigns, err error) {
	err = r.client.rows(ctx, tables.LinkSigns, func(scan func(...any) error) error { return scan(&s.Touch, &s.Conflicts) })
	if err == nil && s.Touch != known {
		s.Hours = map[event.Millis]uint64{}
		err = r.client.rows(ctx, "SELECT toInt64(toUnixTimestamp(minute)) * 1000, sumWithOverflow(touch) FROM whence_state.touches WHERE service = '' GROUP BY minute",
			func(scan func(...any) error) error {
				var hour int64
				var sum uint64
				err := scan(&hour, &sum)
				s.Hours[event.Millis(hour)] = sum
				return err
			})
	}
	if err != nil {
		return s, fmt.Errorf("whether anything was stored: %w", err)
	}
	return s, nil
}

// rows runs a query and hands its rows over, one by one.
func (c *Client) rows(ctx context.Context, query string, row func(scan func(...any) error) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	rows, err := c.db.QueryContext(settings(ctx, map[string]any{"max_query_size": longStatement, "max_ast_elements": longStatement}), query)
	if err != nil {
		return Classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return Classify(err)
		}
	}
	return Classify(rows.Err())
}

// states reads the effects of a question and digests what they depend on.
func (r *Situations) states(ctx context.Context, question func([]confirmation) string) ([]EffectState, error) {
	catalog, history, err := r.knowledge(ctx)
	if err != nil {
		return nil, err
	}
	states, err := r.effects(ctx, question(history), catalog)
	if err != nil || len(states) == 0 {
		return nil, err
	}
	graphs := map[graphKey]*graph{}
	for i := range states {
		states[i].history = history
		if err := r.surround(ctx, &states[i], catalog, graphs); err != nil {
			return nil, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.rankings(ctx, states) })
	group.Go(func() error { return r.digest(ctx, states, catalog) })
	return states, group.Wait()
}

func (r *Situations) effects(ctx context.Context, question string, catalog *catalog) ([]EffectState, error) {
	var states []EffectState
	err := r.client.rows(ctx, question, func(scan func(...any) error) error {
		var s EffectState
		e := &s.effect
		var onset, detected, known int64
		err := scan(&e.Kind, &e.ID, &e.Service, &e.Services, &e.Environment, &onset, &detected, &e.Title, &e.Severity,
			&e.Introduced, &e.Revision, &e.Repository, &e.FindingKind, &known)
		e.Onset, e.Detected, s.KnownAt = event.Millis(onset), event.Millis(detected), event.Millis(known)
		s.Key, s.Detected = tables.EffectKey{Kind: e.Kind, ID: e.ID}, e.Detected
		s.place(catalog)
		s.window = r.spans.window(e)
		states = append(states, s)
		return err
	})
	return states, err
}

// place makes the names of services canonical. A finding that states none is of
// those that list its repository, under whatever name (R25).
func (s *EffectState) place(catalog *catalog) {
	e := &s.effect
	services := e.Services
	if e.Service == "" && e.Repository != "" {
		services = append(services, catalog.repositories[catalog.claims.canonical(e.Repository)]...)
	}
	services = catalog.distinct(services)
	if e.Service = catalog.canonical(e.Service); e.Service == "" && len(services) > 0 {
		e.Service = services[0]
	}
	e.Services = slices.DeleteFunc(services, func(name string) bool { return name == e.Service })
}

// window is what concerns an effect. A finding is of code: nothing is measured
// of it. An onset far before its detection, such as a post-mortem finds, is
// looked at from its beginning on, and not for weeks.
func (s Spans) window(e *Effect) tables.Window {
	lookback := s.Lookback
	if e.Kind == "breach" {
		lookback = s.Breach
	}
	w := tables.Window{
		Environment: e.Environment,
		Since:       e.Onset - lookback, Until: e.Detected + s.After,
		Changes: e.Onset - max(s.Merged, lookback),
		From:    e.Onset - s.Before, To: min(e.Detected, e.Onset+s.Longest) + s.After,
	}
	w.Oldest = w.Since - s.InProgress
	if e.Kind == "finding" || e.Environment == "" {
		w.From, w.To = e.Onset, e.Onset
	}
	return w
}

// rankings reads which rankings the effects have.
func (r *Situations) rankings(ctx context.Context, states []EffectState) error {
	at := map[tables.EffectKey]*EffectState{}
	all := make([]tables.EffectKey, len(states))
	for i := range states {
		at[states[i].Key], all[i] = &states[i], states[i].Key
	}
	return r.client.rows(ctx, tables.CurrentRankings(all), func(scan func(...any) error) error {
		var key tables.EffectKey
		var number, digest, links uint64
		var model string
		if err := scan(&key.Kind, &key.ID, &number, &digest, &links, &model); err != nil {
			return err
		}
		s := at[key]
		s.Number, s.Ranked, s.Model = number, digest, model
		if links == 0 {
			s.Ranked = 0 // it was gone, and is back
		}
		return nil
	})
}

// digest sums up what each effect depends on. Several are asked for at once,
// since each question costs as much for one as for many.
func (r *Situations) digest(ctx context.Context, states []EffectState, catalog *catalog) error {
	parts := make([]digest, len(states))
	for i := range parts {
		parts[i].services = map[string]bool{}
	}
	windows, measured, revisions := concerns(states)
	introduced := map[string]blame{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	ask := func(question string, row func(scan func(...any) error) error) {
		group.Go(func() error {
			return r.client.rows(ctx, question, func(scan func(...any) error) error {
				mu.Lock()
				defer mu.Unlock()
				return row(scan)
			})
		})
	}
	ask(tables.FactDigests(windows), func(scan func(...any) error) error { return scanFacts(scan, parts) })
	ask(tables.ProgressDigests(windows), func(scan func(...any) error) error { return scanProgress(scan, parts) })
	if len(measured) > 0 {
		ask(tables.MeasurementDigests(measured), func(scan func(...any) error) error { return scanMeasured(scan, parts) })
	}
	if len(revisions) > 0 {
		ask(tables.IntroducedDigests(revisions), func(scan func(...any) error) error { return scanBlame(scan, introduced) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range states {
		blamed := introduced[states[i].effect.Revision]
		parts[i].introduced = blamed.sum
		parts[i].name(blamed.names)
		states[i].Digest = parts[i].of(&states[i], catalog)
	}
	return nil
}

func scanFacts(scan func(...any) error, parts []digest) error {
	var i uint32
	var sum uint64
	var names, providers []string
	var changes uint64
	err := scan(&i, &sum, &names, &providers, &changes)
	if err == nil {
		parts[i].facts, parts[i].providers, parts[i].changes = sum, providers, changes
		parts[i].name(names)
	}
	return err
}

func scanProgress(scan func(...any) error, parts []digest) error {
	var i uint32
	var sum uint64
	var names []string
	err := scan(&i, &sum, &names)
	if err == nil {
		parts[i].progress = sum
		parts[i].name(names)
	}
	return err
}

func scanMeasured(scan func(...any) error, parts []digest) error {
	var i uint32
	var sum uint64
	err := scan(&i, &sum)
	if err == nil {
		parts[i].measured = sum
	}
	return err
}

// blame is what is known of what has a revision.
type blame struct {
	sum   uint64
	names []string
}

func scanBlame(scan func(...any) error, introduced map[string]blame) error {
	var revision string
	var b blame
	err := scan(&revision, &b.sum, &b.names)
	introduced[revision] = b
	return err
}

// concerns is what the effects read: windows and measured minutes of each, and
// the revisions that some blame.
func concerns(states []EffectState) (windows []tables.Window, measured []tables.Measured, revisions []string) {
	for i := range states {
		s := &states[i]
		windows = append(windows, s.window)
		m := tables.Measured{Environment: s.window.Environment, From: s.window.From, To: s.window.From}
		if s.window.From < s.window.To {
			m.To, m.Services, m.Own = s.window.To, s.neighbourhood.reporters, s.neighbourhood.own
		}
		measured = append(measured, m)
		if s.effect.Revision != "" {
			revisions = append(revisions, s.effect.Revision)
		}
	}
	if !slices.ContainsFunc(measured, func(m tables.Measured) bool { return len(m.Services) > 0 }) {
		measured = nil
	}
	slices.Sort(revisions)
	return windows, measured, slices.Compact(revisions)
}

// digest is what was found of one effect.
type digest struct {
	facts, progress, measured, introduced uint64
	services                              map[string]bool // named by the facts
	providers                             []string        // in trouble
	changes                               uint64          // how many facts are of changes
}

func (p *digest) name(names []string) {
	for _, n := range names {
		p.services[n] = true
	}
}

// of sums up everything: equal sums, equal situations. It is never 0. It also
// notes the ways to what the facts name.
func (p *digest) of(s *EffectState, catalog *catalog) uint64 {
	h := newHash()
	e := &s.effect
	h.text(e.Kind, e.ID, e.Service, e.Environment, e.Title, e.Severity, e.Introduced, e.Revision, e.Repository, e.FindingKind)
	h.texts(e.Services)
	h.numbers(uint64(e.Onset), uint64(e.Detected), p.facts, p.progress, p.measured, p.introduced)
	h.numbers(s.neighbourhood.hash, hashOf(s.history, e.Onset))
	if p.changes > 0 || p.introduced != 0 {
		h.numbers(catalog.claims.hash) // they say whose changes are
	}
	for _, provider := range slices.Sorted(slices.Values(p.providers)) {
		service := s.neighbourhood.serviceOf(provider)
		h.text(provider, service)
		p.name([]string{service})
	}
	// What the names in the facts mean, where that is something else.
	names := slices.Sorted(maps.Keys(p.services))
	for _, name := range names {
		if catalog.canonical(name) != name {
			h.text(name, catalog.canonical(name))
		}
	}
	s.ways = s.neighbourhood.ways(catalog.distinct(names))
	for _, way := range s.ways {
		h.text(way[:]...)
	}
	return max(h.Sum64(), 1)
}

// hash is a digest of texts and numbers, each told apart from the next.
type hash struct{ *xxhash.Digest }

func newHash() hash { return hash{xxhash.New()} }

func (h hash) numbers(all ...uint64) {
	for _, n := range all {
		_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, n))
	}
}

func (h hash) text(all ...string) {
	for _, s := range all {
		h.numbers(uint64(len(s)))
		_, _ = h.WriteString(s)
	}
}

func (h hash) texts(all []string) {
	h.numbers(uint64(len(all)))
	h.text(all...)
}

// measured reads what was measured around an effect. Where that is too much for
// memory and time, only the effect's own services and those that they call are
// read instance by instance, the others by the minute; and where even that is
// too much, all of them.
func (r *Situations) measured(ctx context.Context, s *EffectState) (all []Measurement, coarse bool, err error) {
	names, w := s.neighbourhood, s.window
	all, err = r.measurements(ctx, tables.Measurements(w.Environment, names.reporters, w.From, w.To), names.catalog, r.most)
	if !errors.Is(err, errTooMany) {
		return all, false, err
	}
	around := slices.DeleteFunc(slices.Clone(names.reporters), func(name string) bool { return slices.Contains(names.own, name) })
	all, err = r.measurements(ctx, tables.Measurements(w.Environment, names.own, w.From, w.To), names.catalog, r.most)
	if errors.Is(err, errTooMany) {
		all, around, err = nil, names.reporters, nil
	}
	if err != nil || len(around) == 0 {
		return all, true, err
	}
	minutes, err := r.measurements(ctx, tables.SignalMinutes(w.Environment, around, w.From, w.To), names.catalog, math.MaxInt)
	return append(all, minutes...), true, err
}

var errTooMany = errors.New("too many measurements")

// measurements reads the result of tables.Measurements, if it has no more than
// so many rows. Its strings are shared: a block's words are few.
func (r *Situations) measurements(ctx context.Context, query string, catalog *catalog, most int) ([]Measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, r.client.config.QueryTimeout)
	defer cancel()
	result, err := r.client.stream(ctx, query, map[string][]string{
		"max_query_size": {strconv.Itoa(longStatement)}, "max_ast_elements": {strconv.Itoa(longStatement)},
		"do_not_merge_across_partitions_select_final": {"1"},
	})
	if err != nil {
		return nil, err
	}
	defer result.close()
	var at proto.ColInt64
	var word [6]words // source, service, instance, version, caller, callee
	var number [8]proto.ColFloat64
	columns := proto.Results{{Data: &at}, {Data: &number[0]}}
	for i := range word {
		columns = append(columns, proto.ResultColumn{Data: word[i].column()})
	}
	for i := 1; i < len(number); i++ {
		columns = append(columns, proto.ResultColumn{Data: &number[i]})
	}
	names := map[string]string{} // canonical names, and one copy of every word
	text := func(s string, service bool) string {
		if known, ok := names[s]; ok {
			return known
		}
		kept := strings.Clone(s)
		if service {
			kept = catalog.canonical(kept)
		}
		names[strings.Clone(s)] = kept
		return kept
	}
	var all []Measurement
	for {
		n, err := result.next(columns)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(all)+n > most {
			return nil, errTooMany
		}
		for i := range word {
			word[i].read()
			for j, s := range word[i].texts {
				word[i].texts[j] = kept(text, i, s)
			}
		}
		all = slices.Grow(all, n)
		for i := range n {
			all = append(all, Measurement{
				At: event.Millis(at[i]), Interval: number[0][i], Source: word[0].row(i),
				Service: word[1].row(i), Instance: word[2].row(i), Version: word[3].row(i), Caller: word[4].row(i), Callee: word[5].row(i),
				Requests: number[1][i], Errors: number[2][i], Success: number[3][i], Latency: number[4][i], P99: number[5][i],
				CPU: number[6][i], Memory: number[7][i],
			})
		}
	}
}

// kept is a word of column i for good, a service's name as it means.
func kept(text func(string, bool) string, i int, s string) string {
	if service := i == 1 || i >= 4; service {
		return text(s, true)
	}
	return strings.Clone(s)
}

// StoreRanking stores a ranking; the same again replaces it. Each attempt has a
// token of its own: under one that a failed attempt has spent (see Again), the
// retry would be acknowledged and dropped, and the ranking lost for good.
func (c *Client) StoreRanking(ctx context.Context, k *tables.Ranking) error {
	if !k.Finite() {
		return fmt.Errorf("ranking %d of %s %s: a probability is no number", k.Number, k.EffectKind, k.EffectID)
	}
	block := tables.NewRankings()
	block.Append(k)
	if err := c.Insert(ctx, block, "ranking|"+rand.Text()); err != nil {
		return fmt.Errorf("ranking %d of %s %s: %w", k.Number, k.EffectKind, k.EffectID, err)
	}
	return nil
}

// RankingPublished says that a ranking is on the topic.
func (c *Client) RankingPublished(ctx context.Context, key tables.EffectKey, number uint64) error {
	err := c.exec(ctx, tables.Published(key.Kind, key.ID, number), map[string][]string{"async_insert": {"0"}, "insert_deduplicate": {"0"}})
	if err != nil {
		return fmt.Errorf("ranking %d of %s %s is published: %w", number, key.Kind, key.ID, err)
	}
	return nil
}

// UnpublishedRankings lists current rankings that may not be on the topic, at
// most limit.
func (c *Client) UnpublishedRankings(ctx context.Context, limit int) ([]tables.Ranking, error) {
	var all []tables.Ranking
	err := c.rows(ctx, tables.UnpublishedRankings(limit), func(scan func(...any) error) error {
		var k tables.Ranking
		var onset, detected, computed int64
		var kinds, ids, services, evidence []string
		var ranks []uint16
		var probabilities, odds []float64
		err := scan(&k.EffectKind, &k.EffectID, &k.Number, &k.Service, &k.Environment, &onset, &detected, &k.Digest, &k.Model,
			&k.Revision, &computed, &kinds, &ids, &services, &ranks, &probabilities, &odds, &evidence)
		k.Onset, k.Detected, k.ComputedAt = event.Millis(onset), event.Millis(detected), event.Millis(computed)
		for i := range kinds {
			k.Links = append(k.Links, tables.Link{
				CauseKind: kinds[i], CauseID: ids[i], Service: services[i], Rank: int(ranks[i]),
				Probability: probabilities[i], LogOdds: odds[i], Evidence: evidence[i],
			})
		}
		all = append(all, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("rankings that are not published: %w", err)
	}
	return all, nil
}
