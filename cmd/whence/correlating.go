package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors/correlate"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// spans are the times around an effect that are looked at.
var spans = clickhouse.Spans{
	Before: correlate.Before, After: correlate.After, Lookback: correlate.Lookback,
	Longest: 2 * 3600_000, Breach: 14 * 24 * 3600_000, InProgress: 35 * 24 * 3600_000, Merged: 14 * 24 * 3600_000,
}

// correlating is correlate with the servers it works on; nil where it is
// switched off.
type correlating struct {
	*correlate.Correlator
	publisher *kafka.Publisher
}

func (w *worker) correlator() (*correlating, error) {
	if !w.cfg.Correlate.Enabled {
		return nil, nil
	}
	publisher, err := kafka.OpenPublisher(w.kafka, publishTime)
	if err != nil {
		return nil, err
	}
	c := correlate.New(correlate.Config{Model: w.model}, effects{clickhouse.NewSituations(w.store, spans), w.store, w.log.Named("correlate")},
		linksTopic{publisher, w.cfg.Kafka.Topics.LinksName()}, pipeline.SystemClock{},
		nudging{rankLog{w.log.Named("correlate"), w.metrics}, w.notifier})
	return &correlating{c, publisher}, nil
}

// publishTime is after how long a ranking is given up, to be published later.
const publishTime = 10 * time.Second

func (c *correlating) close() {
	if c != nil {
		c.publisher.Close()
	}
}

// run ranks until ctx is done.
func (c *correlating) run(ctx context.Context) {
	if c == nil {
		return
	}
	ticks := time.NewTicker(correlate.Every)
	defer ticks.Stop()
	c.Run(ctx, ticks.C)
}

// stored tells of a batch that is stored.
func (c *correlating) stored(b *pipeline.Batch) {
	if c != nil && len(b.Observations) > 0 {
		c.Rows()
	}
}

// deriver derives, and tells the correlator of the facts.
type deriver struct {
	*clickhouse.Client
	correlating *correlating
}

func (d deriver) Derive(ctx context.Context, revision uint64, facts []event.Fact) error {
	if err := d.Client.Derive(ctx, revision, facts); err != nil {
		return err
	}
	if d.correlating != nil {
		d.correlating.Facts(facts)
	}
	return nil
}

// effects is what correlate knows of the tables.
type effects struct {
	*clickhouse.Situations
	client *clickhouse.Client
	log    *zap.Logger
}

func (e effects) Signs(ctx context.Context, known correlate.Signs) (correlate.Signs, error) {
	s, err := e.Situations.Signs(ctx, known.Rows)
	return correlate.Signs{Rows: s.Touch, Hours: s.Hours, Conflicts: s.Conflicts}, err
}

func (e effects) States(ctx context.Context, scope correlate.Scope, limit int) ([]correlate.State, error) {
	s := tables.EffectScope{Since: scope.Since, Blamed: scope.Blamed}
	for _, key := range scope.Named {
		s.Effects = append(s.Effects, tables.EffectKey(key))
	}
	if scope.Behind != nil {
		s.Before, s.BeforeDetected = tables.EffectKey(scope.Behind.Key), scope.Behind.Detected
	}
	return states(e.Situations.States(ctx, s, scope.Retold, limit))
}

func (e effects) Vanished(ctx context.Context, limit int) ([]correlate.State, error) {
	return states(e.Situations.Vanished(ctx, limit))
}

func states(all []clickhouse.EffectState, err error) ([]correlate.State, error) {
	converted := make([]correlate.State, len(all))
	for i := range all {
		converted[i] = state(&all[i])
	}
	return converted, err
}

func state(s *clickhouse.EffectState) correlate.State {
	return correlate.State{
		Key: correlate.Key(s.Key), Detected: s.Detected, Number: s.Number, Ranked: s.Ranked, Model: s.Model, Digest: s.Digest,
	}
}

// rankingDue says whether one of the effects has no ranking, or one that was
// computed from something else than what is stored now. Of a model that ranks
// them anew nothing is known here.
func rankingDue(ctx context.Context, store *clickhouse.Client, of ...correlate.Key) (bool, error) {
	ranked, err := effects{Situations: clickhouse.NewSituations(store, spans)}.States(ctx, correlate.Scope{Since: event.Forever, Named: of}, len(of))
	return slices.ContainsFunc(ranked, func(s correlate.State) bool { return s.Number == 0 || s.Ranked != s.Digest }), err
}

func (e effects) Load(ctx context.Context, key correlate.Key) (*correlate.Known, error) {
	s, err := e.Situations.Load(ctx, tables.EffectKey(key))
	if err != nil || s == nil {
		return nil, err
	}
	if s.Coarse {
		e.log.Warn("too much was measured around an effect: its causes are ranked by the minute, and instances further away look alike",
			zap.String("effect", key.Kind+" "+key.ID), zap.Int("measurements", len(s.Measurements)))
	}
	return &correlate.Known{Situation: situation(s), State: state(&s.State), Taken: s.KnownAt}, nil
}

// situation is what the tables say as correlate sees it. The conversions hold
// the two sets of types together.
func situation(s *clickhouse.Situation) correlate.Situation {
	candidates := make([]correlate.Candidate, len(s.Candidates))
	for i := range s.Candidates {
		candidates[i] = candidate(&s.Candidates[i])
	}
	return correlate.Situation{
		Effect: correlate.Effect(s.Effect), Candidates: candidates, DependsOn: s.DependsOn,
		Measurements: measurements(s.Measurements), WeekBefore: measurements(s.WeekBefore),
		From: s.From, To: s.To, Revision: s.Revision, Digest: s.Digest,
	}
}

func candidate(c *clickhouse.Candidate) correlate.Candidate {
	stages := make([]correlate.Stage, len(c.Stages))
	for i := range c.Stages {
		stages[i] = correlate.Stage(c.Stages[i])
	}
	return correlate.Candidate{
		Kind: c.Kind, ID: c.ID, Service: c.Service, Services: c.Services, Version: c.Version, PreviousVersion: c.PreviousVersion,
		Began: c.Began, Ended: c.Ended, Outcome: c.Outcome, Stages: stages, Revisions: c.Revisions, Changes: c.Changes, Size: c.Size,
		RollbackOf: c.RollbackOf, Summary: c.Summary, Confirmed: c.Confirmed, Refuted: c.Refuted,
	}
}

func measurements(all []clickhouse.Measurement) []correlate.Measurement {
	converted := make([]correlate.Measurement, len(all))
	for i := range all {
		converted[i] = correlate.Measurement(all[i])
	}
	return converted
}

func (e effects) Keep(ctx context.Context, k *correlate.Kept) error {
	row := tables.Ranking{
		EffectKind: k.Effect.Kind, EffectID: k.Effect.ID, Number: k.Number, Service: k.Effect.Service, Environment: k.Effect.Environment,
		Onset: k.Effect.Onset, Detected: k.Effect.Detected, Digest: k.Digest, Model: k.Model, Revision: k.Revision, ComputedAt: k.ComputedAt,
	}
	for _, l := range k.Links {
		evidence, err := json.Marshal(l.Evidence)
		if err != nil {
			return fmt.Errorf("evidence of %s %s: %w", l.CauseKind, l.CauseID, err)
		}
		row.Links = append(row.Links, tables.Link{
			CauseKind: l.CauseKind, CauseID: l.CauseID, Service: l.Service, Rank: l.Rank,
			Probability: l.Probability, LogOdds: l.LogOdds, Evidence: string(evidence),
		})
	}
	return e.client.StoreRanking(ctx, &row)
}

func (e effects) Unpublished(ctx context.Context, limit int) ([]correlate.Kept, error) {
	rows, err := e.client.UnpublishedRankings(ctx, limit)
	kept := make([]correlate.Kept, len(rows))
	for i := range rows {
		kept[i] = keptRow(&rows[i])
	}
	return kept, err
}

func keptRow(r *tables.Ranking) correlate.Kept {
	k := correlate.Kept{Number: r.Number, ComputedAt: r.ComputedAt, Ranking: correlate.Ranking{
		Effect: correlate.Effect{
			Kind: r.EffectKind, ID: r.EffectID, Service: r.Service, Environment: r.Environment, Onset: r.Onset, Detected: r.Detected,
		},
		Model: r.Model, Revision: r.Revision, Digest: r.Digest,
	}}
	for _, l := range r.Links {
		link := correlate.Link{
			CauseKind: l.CauseKind, CauseID: l.CauseID, Service: l.Service, Rank: l.Rank, Probability: l.Probability, LogOdds: l.LogOdds,
		}
		_ = json.Unmarshal([]byte(l.Evidence), &link.Evidence) // it was written by Keep
		k.Links = append(k.Links, link)
	}
	return k
}

func (e effects) Published(ctx context.Context, k *correlate.Kept) error {
	return e.client.RankingPublished(ctx, tables.EffectKey(k.Key()), k.Number)
}

// linksTopic is the topic of links.
type linksTopic struct {
	publisher *kafka.Publisher
	topic     string
}

// linksMessage is one ranking on the topic.
type linksMessage struct {
	EffectKind  string           `json:"effect_kind"`
	EffectID    string           `json:"effect_id"`
	Ranking     uint64           `json:"ranking"`
	Service     string           `json:"service"`
	Environment string           `json:"environment"`
	Onset       time.Time        `json:"onset"`
	Detected    time.Time        `json:"detected"`
	Model       string           `json:"model"`
	Revision    uint64           `json:"revision"`
	ComputedAt  time.Time        `json:"computed_at"`
	Links       []correlate.Link `json:"links"`
}

// Publish sends a ranking. Of one that is too large for a record only what is
// likely goes there, without its statements: the table has it all.
func (t linksTopic) Publish(ctx context.Context, k *correlate.Kept) error {
	moment := func(at event.Millis) time.Time { return time.UnixMilli(int64(at)).UTC() }
	m := linksMessage{
		EffectKind: k.Effect.Kind, EffectID: k.Effect.ID, Ranking: k.Number, Service: k.Effect.Service, Environment: k.Effect.Environment,
		Onset: moment(k.Effect.Onset), Detected: moment(k.Effect.Detected), Model: k.Model, Revision: k.Revision,
		ComputedAt: moment(k.ComputedAt), Links: append([]correlate.Link{}, k.Links...),
	}
	value, err := m.bounded()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	t.publisher.Send(ctx, kafka.Message{
		Topic: t.topic, Key: []byte(k.Effect.Kind + "|" + k.Effect.ID), Value: value,
		Headers: []pipeline.Header{{Key: "content-type", Value: []byte("application/json")}},
	}, func(err error) { done <- err })
	return <-done
}

// maxLinksBytes is what a message may have, well below a record's limit.
const maxLinksBytes = 512 << 10

// bounded is the message as JSON. Of one that is too large it leaves out more and
// more: statements and all but the likeliest links, then evidence.
func (m *linksMessage) bounded() ([]byte, error) {
	value, err := json.Marshal(m)
	for _, most := range []struct{ links, terms int }{{20, math.MaxInt}, {20, 5}, {5, 5}, {5, 0}, {1, 0}} {
		if err != nil || len(value) <= maxLinksBytes {
			break
		}
		short := *m
		short.Links = shortened(m.Links, most.links, most.terms)
		value, err = json.Marshal(&short)
	}
	return value, err
}

// shortened are the likeliest links and the one of no cause, without SQL, and
// of each the first terms.
func shortened(links []correlate.Link, likeliest, most int) []correlate.Link {
	var short []correlate.Link
	for _, l := range links {
		if l.Rank > likeliest && l.CauseKind != correlate.None {
			continue
		}
		terms := slices.Clone(l.Evidence[:min(most, len(l.Evidence))])
		for i := range terms {
			terms[i].SQL = ""
		}
		l.Evidence = terms
		short = append(short, l)
	}
	return short
}

// rankLog tells people and metrics.
type rankLog struct {
	log *zap.Logger
	*observe.Metrics
}

func (l rankLog) Ranked(k *correlate.Kept, took, late time.Duration) {
	l.Metrics.Ranked(k.Effect.Kind, took, late)
	if len(k.Links) > 0 {
		l.log.Debug("causes ranked", zap.String("effect", k.Effect.Kind+" "+k.Effect.ID), zap.Uint64("ranking", k.Number),
			zap.String("likeliest", strings.TrimSpace(k.Links[0].CauseKind+" "+k.Links[0].CauseID)), zap.Duration("took", took))
	}
}

func (l rankLog) RankFailed(key correlate.Key, err error) {
	l.Metrics.RankFailed()
	l.log.Warn("causes could not be ranked, it is tried again", zap.String("effect", strings.TrimSpace(key.Kind+" "+key.ID)),
		zap.Error(err), zap.String("hint", pipeline.HintOf(err)))
}
