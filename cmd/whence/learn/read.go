package learn

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/whencehq/whence/cmd/whence/why"
	"github.com/whencehq/whence/processors/correlate"
)

// confirmation is a row of what people said, and still say.
type confirmation struct {
	Incident string
	Kind, ID string
	Rank     int
	Known    int64 // when it became known, milliseconds
}

// What was confirmed, but for what was taken back. Where the ledger no longer
// says when a fact was stored, it is when Kafka took it.
const confirmations = `
SELECT entity_id AS incident, JSONExtractString(data, 'cause_kind') AS kind, JSONExtractString(data, 'cause_id') AS id,
    JSONExtractInt(data, 'rank_shown') AS rank, toUnixTimestamp64Milli(coalesce(known_at, received_at)) AS known
FROM whence.facts_history(kind = 'cause', entity = '')
WHERE counts
ORDER BY incident, known, kind, id, rank`

// page is how many incidents' rankings are read at once.
const page = 100

// Read reads every incident whose cause people confirmed.
func Read(ctx context.Context, ask why.Ask) ([]Case, Skipped, error) {
	said, err := why.Rows[confirmation](ctx, ask, confirmations)
	if err != nil {
		return nil, nil, err
	}
	var cases []Case
	skipped := Skipped{}
	for incidents := range slices.Chunk(byIncident(said), page) {
		rankings, err := readShown(ctx, ask, incidents)
		if err != nil {
			return nil, nil, err
		}
		for i := range incidents {
			c, reason := caseOf(incidents[i].id, incidents[i].causes, rankings[incidents[i].id])
			if reason != "" {
				skipped[reason]++
				continue
			}
			cases = append(cases, c)
		}
	}
	return cases, skipped, nil
}

// incident is what was confirmed of one.
type incident struct {
	id     string
	known  int64 // since when something was
	causes []cause
}

// byIncident puts together what is said of the same incident, in its order.
func byIncident(said []confirmation) []incident {
	var all []incident
	for _, c := range said {
		if len(all) == 0 || all[len(all)-1].id != c.Incident {
			all = append(all, incident{id: c.Incident, known: c.Known})
		}
		last := &all[len(all)-1]
		last.known = min(last.known, c.Known)
		last.causes = append(last.causes, cause{c.Kind, c.ID, c.Rank})
	}
	return all
}

// readShown reads the ranking of each incident that people saw before anybody
// confirmed a cause: the last one computed by then. What was confirmed before
// anything was ranked is held against the first.
func readShown(ctx context.Context, ask why.Ask, incidents []incident) (map[string][]shown, error) {
	ids := make([]string, len(incidents))
	known := map[string]int64{}
	for i, n := range incidents {
		ids[i], known[n.id] = why.Quote(n.id), n.known
	}
	numbers, err := why.Rows[struct {
		Incident string
		Ranking  uint64
		Computed int64
	}](ctx, ask, `
SELECT effect_id AS incident, ranking, toUnixTimestamp64Milli(computed_at) AS computed
FROM whence.links_history
WHERE effect_kind = 'incident' AND rank = 1 AND effect_id IN (`+strings.Join(ids, ", ")+`)
ORDER BY incident, ranking`)
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	seen := map[string]uint64{}
	for _, n := range numbers {
		if _, first := seen[n.Incident]; !first || n.Computed < known[n.Incident] {
			seen[n.Incident] = n.Ranking
		}
	}
	return readRankings(ctx, ask, seen)
}

// readRankings reads one ranking of each incident. Words and statements, which
// are nearly all of the evidence's bytes, stay where they are.
func readRankings(ctx context.Context, ask why.Ask, numbers map[string]uint64) (map[string][]shown, error) {
	var pairs []string
	for incident, number := range numbers {
		pairs = append(pairs, fmt.Sprintf("(%s, %d)", why.Quote(incident), number))
	}
	slices.Sort(pairs)
	links, err := why.Rows[struct {
		Incident string
		Kind, ID string
		Terms    []correlate.Term
	}](ctx, ask, `
SELECT effect_id AS incident, cause_kind AS kind, cause_id AS id, JSONExtract(evidence, 'Array(Tuple(term String, value Float64))') AS terms
FROM whence.links_history
WHERE effect_kind = 'incident' AND (effect_id, ranking) IN (`+strings.Join(pairs, ", ")+`)
ORDER BY incident, rank`)
	if err != nil {
		return nil, err
	}
	rankings := map[string][]shown{}
	for _, l := range links {
		rankings[l.Incident] = append(rankings[l.Incident], shown{l.Kind, l.ID, l.Terms})
	}
	return rankings, nil
}
