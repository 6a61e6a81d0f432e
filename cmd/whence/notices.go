package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/cmd/whence/why"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/schemas/event"
)

// notices is whence_state.rankings and whence_state.notices as notify sees them.
type notices struct{ *clickhouse.Client }

// noticeTime bounds one statement about notices.
const noticeTime = 30 * time.Second

// currentRankings are the current rankings of the effects that were ranked since
// a moment, with the first hypotheses and what people call the effect.
const currentRankings = `
WITH
    recent AS
    (
        SELECT effect_kind, effect_id, max(number) AS latest
        FROM whence_state.rankings
        WHERE (effect_kind, effect_id) IN (SELECT effect_kind, effect_id FROM whence_state.rankings WHERE computed_at >= %[1]s)
        GROUP BY effect_kind, effect_id
    ),
    named AS
    (
        SELECT 'incident' AS kind, incident_id AS id, title, toString(severity) AS severity, '' AS incident
        FROM whence.incidents FINAL WHERE incident_id IN (SELECT effect_id FROM recent WHERE effect_kind = 'incident')
        UNION ALL
        SELECT 'alert', alert_id, summary, toString(severity), incident_id
        FROM whence.alerts FINAL WHERE alert_id IN (SELECT effect_id FROM recent WHERE effect_kind = 'alert')
        UNION ALL
        SELECT 'finding', finding_id, concat(kind, ': ', rule), toString(severity), ''
        FROM whence.findings FINAL WHERE finding_id IN (SELECT effect_id FROM recent WHERE effect_kind = 'finding')
        UNION ALL
        SELECT 'breach', breach_id, concat('a breach', if(actor = '', '', concat(' by ', actor))), toString(severity), ''
        FROM whence.breaches FINAL WHERE breach_id IN (SELECT effect_id FROM recent WHERE effect_kind = 'breach')
    )
SELECT
    toString(r.effect_kind) AS kind, r.effect_id AS id, r.number AS number, toString(r.service) AS service, toString(r.environment) AS environment,
    toUnixTimestamp64Milli(r.onset) AS onset, toUnixTimestamp64Milli(r.detected) AS detected, toUnixTimestamp64Milli(r.computed_at) AS computed_at,
    named.title AS title, named.severity AS severity, named.incident AS incident,
    arraySlice(r.links.cause_kind, 1, 3) AS cause_kinds, arraySlice(r.links.cause_id, 1, 3) AS cause_ids, arraySlice(r.links.service, 1, 3) AS services,
    arraySlice(r.links.rank, 1, 3) AS ranks, arraySlice(r.links.probability, 1, 3) AS probabilities, arraySlice(r.links.evidence, 1, 3) AS evidence
FROM
(
    SELECT * FROM whence_state.rankings FINAL
    WHERE (effect_kind, effect_id, number) IN (SELECT effect_kind, effect_id, latest FROM recent) AND notEmpty(links.rank)
) AS r
LEFT JOIN named ON named.kind = r.effect_kind AND named.id = r.effect_id`

// Rankings are the current rankings of what was ranked since.
func (n notices) Rankings(ctx context.Context, since time.Time) ([]notify.Ranking, error) {
	ctx, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	rows, err := why.Rows[struct {
		notify.Ranking
		ComputedAt    event.Millis `json:"computed_at"`
		Kinds         []string     `json:"cause_kinds"`
		IDs           []string     `json:"cause_ids"`
		Services      []string
		Ranks         []int
		Probabilities []float64
		Evidence      []string
	}](ctx, reading(n.Client), fmt.Sprintf(currentRankings, momentSQL(since)))
	if err != nil {
		return nil, fmt.Errorf("rankings to be told: %w", err)
	}
	rankings := make([]notify.Ranking, len(rows))
	for i, row := range rows {
		r := row.Ranking
		r.ComputedAt = row.ComputedAt
		for j := range row.Kinds {
			r.Links = append(r.Links, notify.Link{
				Kind: row.Kinds[j], ID: row.IDs[j], Service: row.Services[j], Rank: row.Ranks[j],
				Probability: row.Probabilities[j], Words: strongest(row.Evidence[j]),
			})
		}
		rankings[i] = r
	}
	return rankings, nil
}

// strongest is what speaks most for a hypothesis, in words. Constants of the model
// say nothing of this effect: they have no statement.
func strongest(evidence string) []string {
	var terms []correlate.Term
	if err := json.Unmarshal([]byte(evidence), &terms); err != nil {
		return nil // it is shown by whence why, which says so
	}
	terms = slices.DeleteFunc(terms, func(t correlate.Term) bool { return t.SQL == "" || t.Log() <= 0 })
	slices.SortStableFunc(terms, func(a, b correlate.Term) int { return cmp.Compare(b.Log(), a.Log()) })
	var words []string
	for _, t := range terms[:min(2, len(terms))] {
		words = append(words, t.Words)
	}
	return words
}

// noticeRow is a row of whence_state.notices.
type noticeRow struct {
	Target      string       `json:"target"`
	Kind        string       `json:"effect_kind"`
	ID          string       `json:"effect_id"`
	Key         string       `json:"message"`
	Thread      string       `json:"thread"`
	Place       string       `json:"place"`
	Number      uint64       `json:"number"`
	LeaderKind  string       `json:"leader_kind"`
	LeaderID    string       `json:"leader_id"`
	Probability float64      `json:"probability"`
	ToldAt      event.Millis `json:"told_at"`
	Opened      uint8        `json:"opened"`
	Summed      uint8        `json:"summed"`
	Pending     uint8        `json:"pending"`
	Version     uint64       `json:"version"`
}

// Notices are what targets were told since.
func (n notices) Notices(ctx context.Context, since time.Time) ([]notify.Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	rows, err := why.Rows[noticeRow](ctx, reading(n.Client), `
SELECT * EXCEPT (told_at), toUnixTimestamp64Milli(n.told_at) AS told_at
FROM whence_state.notices AS n FINAL
WHERE n.told_at >= `+momentSQL(since))
	if err != nil {
		return nil, fmt.Errorf("what was told: %w", err)
	}
	told := make([]notify.Notice, len(rows))
	for i, r := range rows {
		told[i] = notify.Notice{
			Target: r.Target, Kind: r.Kind, ID: r.ID, Thread: r.Thread, Place: r.Place, Key: r.Key, Number: r.Number,
			LeaderKind: r.LeaderKind, LeaderID: r.LeaderID, Probability: r.Probability, ToldAt: r.ToldAt,
			Opened: r.Opened == 1, Summed: r.Summed == 1, Pending: r.Pending == 1, Version: r.Version,
		}
	}
	return told, nil
}

// Tell stores notices.
func (n notices) Tell(ctx context.Context, told []notify.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	rows := make([]string, len(told))
	for i, t := range told {
		rows[i] = fmt.Sprintf("(%s, %s, %s, %s, %s, %s, %d, %s, %s, %v, fromUnixTimestamp64Milli(%d, 'UTC'), %d, %d, %d, %d)",
			why.Quote(t.Target), why.Quote(t.Kind), why.Quote(t.ID), why.Quote(t.Key), why.Quote(t.Thread), why.Quote(t.Place), t.Number,
			why.Quote(t.LeaderKind), why.Quote(t.LeaderID), t.Probability, t.ToldAt, flag(t.Opened), flag(t.Summed), flag(t.Pending), t.Version)
	}
	_, err := n.Ask(ctx, `
INSERT INTO whence_state.notices (target, effect_kind, effect_id, message, thread, place, number, leader_kind, leader_id, probability,
    told_at, opened, summed, pending, version)
VALUES `+strings.Join(rows, ", "), map[string]string{"async_insert": "0", "session_timezone": "UTC", "max_query_size": "1073741824"})
	if err != nil {
		return fmt.Errorf("what was told: %w", err)
	}
	return nil
}

func flag(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}

func momentSQL(at time.Time) string {
	return "toDateTime64('" + at.UTC().Format("2006-01-02 15:04:05.000") + "', 3, 'UTC')"
}
