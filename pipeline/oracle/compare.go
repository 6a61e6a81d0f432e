package oracle

import (
	"context"
	"fmt"
)

// Column says how the stored rows differ from the computed ones in one column.
type Column struct {
	Area string `json:"area"` // observations, vitals, entities, facts
	// Name of the column; "row": rows that only one side has, "any column":
	// rows that differ in one at least.
	Name      string    `json:"column"`
	Differing int       `json:"differing"`
	Examples  []Example `json:"examples"` // three at most
}

// Example is one row's two values, as ClickHouse writes them, a thousand
// characters at most.
type Example struct {
	Row      string `json:"row"`
	Expected string `json:"expected"`
	Stored   string `json:"stored"`
}

// The areas of a comparison.
const (
	Observations = "observations"
	Vitals       = "vitals"
	Entities     = "entities"
	Facts        = "facts"
)

// Compare sets whence.observations FINAL against what the facts say of each of
// the scope's observations. It returns the columns that differ, none where all
// is well; the last is "any column".
func (o *Oracle) Compare(ctx context.Context) ([]Column, error) {
	return o.compareSpans(ctx, Observations, func(ctx context.Context, s span) error {
		return o.compareRows(ctx, s)
	})
}

// CompareVitals sets whence.vitals against the same computed from the
// observations and the answers. A tenth of a billionth is no difference.
func (o *Oracle) CompareVitals(ctx context.Context) ([]Column, error) {
	return o.compareSpans(ctx, Vitals, func(ctx context.Context, s span) error {
		if err := o.run(ctx, "10", s); err != nil {
			return err
		}
		if err := o.compareRows(ctx, s); err != nil {
			return err
		}
		return o.run(ctx, "23", s)
	})
}

// CompareEntities sets the entity tables against what the facts say of each
// entity, in every column but where the last of its facts was read and at which
// revision the row was derived.
func (o *Oracle) CompareEntities(ctx context.Context) ([]Column, error) {
	o.round++
	if err := o.run(ctx, "3", span{}); err != nil {
		return nil, err
	}
	return o.differing(ctx, Entities)
}

// CompareFacts sets whence.facts against every content that was ever said.
func (o *Oracle) CompareFacts(ctx context.Context) ([]Column, error) {
	o.round++
	if err := o.run(ctx, "24", span{}); err != nil {
		return nil, err
	}
	return o.differing(ctx, Facts)
}

func (o *Oracle) compareSpans(ctx context.Context, area string, compare func(context.Context, span) error) ([]Column, error) {
	o.round++
	spans, err := o.spans(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range spans {
		if err := compare(ctx, s); err != nil {
			return nil, err
		}
	}
	return o.differing(ctx, area)
}

// compareRows computes the answers of a span and sets the stored rows against
// them: by their hashes first, which is all there is to do where all is well.
func (o *Oracle) compareRows(ctx context.Context, s span) error {
	for _, files := range []string{"11", "12", "13", "20"} {
		if err := o.run(ctx, files, s); err != nil {
			return err
		}
	}
	doubtful, err := o.count(ctx, "SELECT count() AS n FROM whence_oracle.doubtful")
	if err != nil || doubtful == 0 {
		return err
	}
	return o.run(ctx, "21", s)
}

// differing sums up what the last round found.
func (o *Oracle) differing(ctx context.Context, area string) ([]Column, error) {
	return o.columns(ctx, fmt.Sprintf("area = '%s' AND round = %d", area, o.round))
}

// columns sums differences up, by area and column.
func (o *Oracle) columns(ctx context.Context, which string) ([]Column, error) {
	return rows[Column](ctx, o.query, o.complete(`
		WITH differences AS
		(
			SELECT * EXCEPT (column), arrayJoin(if(d.column = 'row' OR area IN ('entities', 'facts'), [d.column], [d.column, 'any column'])) AS column
			FROM (SELECT * FROM whence_oracle.differences WHERE `+which+`) AS d
		)
		SELECT area, column, uniqExact(item) AS differing,
			arrayMap(e -> CAST(e, 'Tuple(row String, expected String, stored String)'), arraySort(groupUniqArrayIf(3)((label, expected, stored), label != ''))) AS examples
		FROM differences
		GROUP BY area, column
		ORDER BY indexOf(['observations', 'vitals', 'entities', 'facts'], area), indexOf(['row', 'any column'], column) = 2,
			column != 'row', column
		FORMAT JSONEachRow`, span{}))
}

// count runs a query of one number, n.
func (o *Oracle) count(ctx context.Context, query string) (int, error) {
	type number struct{ N int }
	answer, err := rows[number](ctx, o.query, o.complete(query, span{})+" FORMAT JSONEachRow")
	if err != nil || len(answer) == 0 {
		return 0, err
	}
	return answer[0].N, nil
}
