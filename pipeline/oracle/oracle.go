package oracle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed sql/*.sql
var files embed.FS

// Query runs one statement and returns the answer in the format that the
// statement names.
type Query func(ctx context.Context, statement string) ([]byte, error)

// HTTP queries the ClickHouse at url, such as http://127.0.0.1:8123.
func HTTP(url string) Query {
	return func(ctx context.Context, statement string) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(statement))
		if err != nil {
			return nil, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s\nin:\n%s", bytes.TrimSpace(body), statement)
		}
		return body, nil
	}
}

// Scope says what is computed. The zero Scope is everything.
type Scope struct {
	// From and To bound the observations by event time, [From, To), widened to
	// whole minutes; zero: not.
	From, To time.Time
	// Share of the minutes of each service, above 0 up to 1; 0: all. Which ones
	// is the same each time. Whole minutes, so that their vitals add up.
	Share float64
	// Revision of the context log up to which facts count; 0: all there are.
	Revision uint64
	// SpanRows is about how many observations are compared at once; 0: a million.
	SpanRows uint64
}

// Oracle is a computation, in a database of its own.
type Oracle struct {
	query    Query
	scope    Scope
	database string
	round    int // of comparison, from 1
}

// databases is how the scratch databases begin; when one was made follows.
const databases = "whence_oracle_"

// Compute folds all facts, in a new database that Close drops.
func Compute(ctx context.Context, query Query, scope Scope) (*Oracle, error) {
	scope.From = scope.From.Truncate(time.Minute)
	if !scope.To.IsZero() {
		scope.To = scope.To.Add(time.Minute - time.Millisecond).Truncate(time.Minute)
	}
	o := &Oracle{query: query, scope: scope, database: databases + time.Now().UTC().Format("20060102150405_") + strings.ToLower(rand.Text()[:8])}
	if err := o.fold(ctx, cmp.Or(scope.Revision, math.MaxUint64)); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// fold computes all that does not depend on a span of observations, from the
// facts up to a revision.
func (o *Oracle) fold(ctx context.Context, revision uint64) error {
	if _, err := o.query(ctx, "CREATE DATABASE "+o.database+" ENGINE = Atomic"); err != nil {
		return err
	}
	_, err := o.query(ctx, o.complete(`CREATE TABLE whence_oracle.differences
		(round UInt8, area LowCardinality(String), item String, column LowCardinality(String), newer Bool, label String, expected String, stored String)
		ENGINE = MergeTree ORDER BY (area, item, column)`, span{}))
	if err != nil {
		return err
	}
	return o.refoldAt(ctx, revision)
}

// refoldAt does it anew, as of another revision. What was found stays.
func (o *Oracle) refoldAt(ctx context.Context, revision uint64) error {
	o.scope.Revision = revision
	return o.run(ctx, "0", span{})
}

// Close drops the database. It works when the context of the computation is
// cancelled: that is when a person has waited long enough.
func (o *Oracle) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := o.query(ctx, "DROP DATABASE IF EXISTS "+o.database+" SYNC"); err != nil {
		return fmt.Errorf("the scratch database %s is left behind: %w", o.database, err)
	}
	return nil
}

// Sweep drops what computations that were killed have left behind, a day ago
// or longer.
func Sweep(ctx context.Context, query Query) error {
	type left struct{ Name string }
	old, err := rows[left](ctx, query, "SELECT name FROM system.databases WHERE match(name, '^"+databases+"\\\\d{14}_') "+
		"AND substring(name, "+fmt.Sprint(len(databases)+1)+", 14) < formatDateTime(now('UTC') - INTERVAL 1 DAY, '%Y%m%d%H%i%S') FORMAT JSONEachRow")
	for _, database := range old {
		if err == nil {
			_, err = query(ctx, "DROP DATABASE IF EXISTS "+database.Name+" SYNC")
		}
	}
	return err
}

// run runs the files whose names begin so, in their order.
func (o *Oracle) run(ctx context.Context, prefix string, s span) error {
	entries, err := files.ReadDir("sql")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		for statement := range strings.SplitSeq(text(entry.Name()), ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := o.query(ctx, o.complete(statement, s)); err != nil {
				return fmt.Errorf("oracle, %s: %w", entry.Name(), err)
			}
		}
	}
	return nil
}

// plain is the function that makes one of all spellings of a version (R13).
const plain = `(version -> multiIf(
        match(version, '^(sha|git)-([0-9a-f]{7,12}|[0-9a-f]{40}|[0-9a-f]{64})$'),
        substring(version, 5, 7),
        match(replaceRegexpOne(version, '^[vV]([0-9])', '\\1'), '^([0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{8,12})$')
            AND (length(version) > 13 OR match(version, '^[vV]?[0-9]{0,6}[a-f]')),
        substring(replaceRegexpOne(version, '^[vV]([0-9])', '\\1'), 1, 7),
        replaceRegexpOne(version, '^[vV]([0-9])', '\\1'))) AS plain`

// words are the functions that read what is said of an entity: a text, a list,
// a number, a truth or a time as it is stated last, all values ever stated, and
// when a kind of fact came first.
const words = `
    (field -> JSONExtractString(stated[field])) AS text,
    (field -> JSONExtract(stated[field], 'Array(String)')) AS list,
    (field -> JSONExtract(stated[field], 'Nullable(Float64)')) AS amount,
    (field -> JSONExtract(stated[field], 'Nullable(Bool)')) AS truth,
    (field -> parseDateTime64BestEffortOrNull(upper(JSONExtractString(stated[field])), 3, 'UTC')) AS moment,
    (field -> arraySort(arrayMap(value -> JSONExtractString(value), every[field]))) AS all_of,
    (millis -> fromUnixTimestamp64Milli(millis, 'UTC')) AS at,
    (what -> if(mapContains(first, what), fromUnixTimestamp64Milli(first[what], 'UTC'), NULL)) AS first_at`

// lastFact are the columns that name the last fact of an entity.
const lastFact = `last_fact.1 AS source, last_fact.2 AS id, last_fact.3 AS type, fromUnixTimestamp64Milli(last_fact.4, 'UTC') AS time`

// complete puts this run's names and bounds into a statement.
func (o *Oracle) complete(statement string, s span) string {
	return strings.NewReplacer(
		"whence_oracle.", o.database+".",
		"{at}", fmt.Sprintf("toUInt64(%d)", o.scope.Revision), "{round}", fmt.Sprint(o.round),
		"{from}", o.scope.from(), "{to}", o.scope.to(), "{share}", fmt.Sprint(o.scope.share()),
		"{plain}", plain, "{words}", words, "{last}", lastFact, "{entities}", o.storedEntities(),
		"{start}", fmt.Sprintf("toInt64(%d)", s.start), "{end}", fmt.Sprintf("toInt64(%d)", s.end),
	).Replace(statement)
}

// from and to are as wide as DateTime64(3) compares without overflow.
func (s Scope) from() string { return moment(s.From, "1900-01-01 00:00:00.000") }
func (s Scope) to() string   { return moment(s.To, "2299-12-31 00:00:00.000") }

func moment(t time.Time, unbounded string) string {
	if !t.IsZero() {
		unbounded = t.UTC().Format("2006-01-02 15:04:05.000")
	}
	return "toDateTime64('" + unbounded + "', 3, 'UTC')"
}

// share is how many of a million minutes are looked at.
func (s Scope) share() int {
	if s.Share <= 0 || s.Share >= 1 {
		return 1_000_000
	}
	return max(1, int(s.Share*1_000_000))
}

// text of an embedded file: it was there at build time.
func text(name string) string {
	body, err := files.ReadFile(path.Join("sql", name))
	if err != nil {
		panic(err)
	}
	return string(body)
}

// rows reads an answer in JSONEachRow.
func rows[T any](ctx context.Context, query Query, statement string) ([]T, error) {
	body, err := query(ctx, statement)
	if err != nil {
		return nil, err
	}
	var all []T
	decoder := json.NewDecoder(bytes.NewReader(body))
	for {
		var row T
		if err := decoder.Decode(&row); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%w in the answer %.200q", err, body)
		}
		all = append(all, row)
	}
}
