package clickhouse

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Stale lists the observations of the regions that were enriched before a
// revision, by day. Rows that others have superseded and no merge has dropped
// yet are among them. An error that is pipeline.ErrTooLong asks for less.
func (c *Client) Stale(ctx context.Context, regions []event.Region, below uint64) ([]event.Stale, error) {
	all, err := c.stale(ctx, tables.StaleObservations(regions, below))
	if err != nil {
		return nil, fmt.Errorf("stale observations: %w", orTooLong(ctx, Classify(err)))
	}
	return all, nil
}

func (c *Client) stale(ctx context.Context, question string) (all []event.Stale, err error) {
	err = c.list(ctx, question, func(rows *sql.Rows) error {
		var s event.Stale
		err := rows.Scan(&s.Service, &s.Environment, (*int64)(&s.First), (*int64)(&s.Last), &s.Rows, &s.Versions, &s.Instances)
		all = append(all, s)
		return err
	})
	return all, err
}

// list asks a question that may be long, and scans each row of the answer.
func (c *Client) list(ctx context.Context, question string, scan func(*sql.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	rows, err := c.db.QueryContext(settings(ctx, map[string]any{"max_query_size": longStatement, "max_ast_elements": longStatement}), question)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Among counts the rows that a correction of stale observations reads, right ones
// included. Without regions these are all of the services and times.
func (c *Client) Among(ctx context.Context, regions []event.Region, stale []event.Stale) error {
	for some := range slices.Chunk(stale, atOnce) {
		all, err := c.among(ctx, tables.ObservationsAmong(regions, some))
		if err != nil {
			return fmt.Errorf("rows among which observations are stale: %w", Classify(err))
		}
		for i := range some {
			some[i].Among = all[groupOf(&some[i])]
		}
	}
	return nil
}

// group is what Stale and Among tell apart: a service on a day.
type group struct {
	service, environment string
	day                  event.Millis
}

func groupOf(s *event.Stale) group {
	const millis = event.Millis(24 * time.Hour / time.Millisecond)
	return group{s.Service, s.Environment, s.First / millis}
}

func (c *Client) among(ctx context.Context, question string) (map[group]uint64, error) {
	all := map[group]uint64{}
	err := c.list(ctx, question, func(rows *sql.Rows) error {
		var s event.Stale
		err := rows.Scan(&s.Service, &s.Environment, (*int64)(&s.First), &s.Among)
		all[groupOf(&s)] = s.Among
		return err
	})
	return all, err
}

// Times are those of the first and the last observation there is; the parts of the
// table know them. Of none both are the same.
func (c *Client) Times(ctx context.Context) (first, last event.Millis, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	err = c.db.QueryRowContext(ctx, "SELECT toUnixTimestamp64Milli(min(time)), toUnixTimestamp64Milli(max(time)) FROM whence.observations").
		Scan((*int64)(&first), (*int64)(&last))
	if err != nil {
		return 0, 0, fmt.Errorf("times of observations: %w", Classify(err))
	}
	return first, last, nil
}

// Stated returns those of the services that some observation states.
func (c *Client) Stated(ctx context.Context, services []string) (stated []string, err error) {
	for chunk := range slices.Chunk(services, atOnce) {
		err := c.each(ctx, "SELECT DISTINCT toString(service) FROM whence.observations WHERE service IN ("+tables.QuotedList(chunk)+")",
			func(row []string) { stated = append(stated, row[0]) })
		if err != nil {
			return nil, fmt.Errorf("services that observations state: %w", err)
		}
	}
	return stated, nil
}

// Correct rewrites the observations of a correction whose contexts and
// servings say something else than the row, at its revision, and keeps what
// they said in whence.observations_history: that is written first, and whole.
// It returns how many there were. Called again it finds none.
func (c *Client) Correct(ctx context.Context, k tables.Correction, contexts []event.Context, servings []event.Serving) (rows uint64, err error) {
	if err := pipeline.Fenced(ctx); err != nil {
		return 0, err
	}
	if err := c.prepareRun(ctx, k.Run, contexts, servings); err != nil {
		return 0, fmt.Errorf("correct: %w", err)
	}
	defer func() { err = c.dropRun(ctx, k.Run, err) }()
	at, own, err := c.mark(ctx)
	if err != nil {
		return 0, fmt.Errorf("correct: %w", err)
	}
	if rows, err = c.rewrite(ctx, k.KeepHistory(at)); err != nil {
		return 0, fmt.Errorf("correct: keep history: %w", err)
	}
	pipeline.Failpoint("reconcile/after-history")
	if rows == 0 {
		return 0, nil
	}
	if own {
		err = c.rewriteKept(ctx, k, at, rows)
	} else {
		_, err = c.rewrite(ctx, k.Rewrite())
	}
	if err != nil {
		return 0, fmt.Errorf("correct: %w", err)
	}
	pipeline.Failpoint("reconcile/after-rewrite")
	return rows, nil
}

// rewriteKept rewrites the rows that were kept at a moment. Where these are the
// half of what was looked at, to look for them costs more than it spares.
func (c *Client) rewriteKept(ctx context.Context, k tables.Correction, at event.Millis, kept uint64) error {
	var among uint64
	for _, s := range k.Stale {
		among += max(s.Rows, s.Among)
	}
	sharded, err := c.sharded(ctx)
	if err != nil {
		return err
	}
	if !sharded && kept < among/2 {
		if _, err := c.rewrite(ctx, k.RewriteKept(at)); err != nil {
			return err
		}
		// Another one's copy of the same row, which came later, has another mark.
		left, err := c.count(ctx, k.CountKept(at))
		if err != nil || left >= kept {
			return err
		}
	}
	_, err = c.rewrite(ctx, k.Rewrite())
	return err
}

// mark is a moment of the server's time, and whether no other correction of this
// client has it: then what it copies is known by it.
func (c *Client) mark(ctx context.Context) (at event.Millis, own bool, err error) {
	now, err := c.count(ctx, "SELECT toUnixTimestamp64Milli(now64(3, 'UTC'))")
	if err != nil {
		return 0, false, err
	}
	at, own = c.markAt(event.Millis(now))
	return at, own, nil
}

// markAt is the mark of a correction that begins at a moment. Of two at once one
// has a later one; but after the clock was set back each would be later than it
// is, up to the hour that it was set back by, and history would show the row's old
// state for so long. Then it is the moment itself: an earlier correction's copies
// may have it too, and speak for those of this one that are gone.
func (c *Client) markAt(now event.Millis) (at event.Millis, own bool) {
	const most = 1000 // what it may be ahead, in milliseconds
	for {
		last := c.marked.Load()
		at := max(int64(now), last+1)
		if at > int64(now)+most {
			return now, false
		}
		if c.marked.CompareAndSwap(last, at) {
			return event.Millis(at), true
		}
	}
}

// count is the answer to a question for one number that is not negative.
func (c *Client) count(ctx context.Context, question string) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	err = c.db.QueryRowContext(settings(ctx, map[string]any{"max_query_size": longStatement, "max_ast_elements": longStatement}), question).Scan(&n)
	return n, Classify(err)
}

func (c *Client) prepareRun(ctx context.Context, run uint64, contexts []event.Context, servings []event.Serving) error {
	block := tables.NewContexts()
	for i := range contexts {
		block.Append(run, &contexts[i])
	}
	if err := c.Insert(ctx, block, fmt.Sprintf("contexts|%d", run)); err != nil {
		return err
	}
	served := tables.NewServings()
	for i := range servings {
		served.Append(run, &servings[i])
	}
	return c.Insert(ctx, served, fmt.Sprintf("servings|%d", run))
}

// dropRun forgets what prepareRun has written, also where ctx is done. What it
// can't drop goes after a day.
func (c *Client) dropRun(ctx context.Context, run uint64, failed error) error {
	within := 5 * time.Second
	if ctx.Err() != nil {
		within = 500 * time.Millisecond // somebody waits for the end
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	for _, table := range []string{"contexts", "servings"} {
		err := c.exec(ctx, fmt.Sprintf("ALTER TABLE whence_state.%s DROP PARTITION %d", table, run), nil)
		if err != nil && failed == nil {
			failed = fmt.Errorf("correct: %w", err)
		}
	}
	return failed
}

// rewrite runs an INSERT … SELECT and returns the rows it wrote. An error that
// is pipeline.ErrTooLong asks for less.
func (c *Client) rewrite(ctx context.Context, statement string) (uint64, error) {
	within, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	header, err := c.post(within, url.Values{
		"max_query_size":   {strconv.Itoa(longStatement)},
		"max_ast_elements": {strconv.Itoa(longStatement)},
		"session_timezone": {"UTC"},
		// A row that goes back to what it was is not a retry.
		"insert_deduplicate":              {"0"},
		"max_partitions_per_insert_block": {"0"},
		"distributed_foreground_insert":   {"1"},
		"wait_end_of_query":               {"1"},
		// The rows are distinct already: sorting them again for equal ones
		// costs a third of the statement.
		"optimize_on_insert":          {"0"},
		"min_insert_block_size_rows":  {"250000"},
		"min_insert_block_size_bytes": {strconv.Itoa(128 << 20)},
	}, []byte(statement))
	if err != nil {
		return 0, orTooLong(ctx, err)
	}
	return written(header)
}

// orTooLong puts pipeline.ErrTooLong into the error of a statement that had no
// longer than the query timeout, if it is for that, and not for ctx.
func orTooLong(ctx context.Context, err error) error {
	if tooLong(err) && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", pipeline.ErrTooLong, err)
	}
	return err
}

// tooLong: 159 TIMEOUT_EXCEEDED, 241 MEMORY_LIMIT_EXCEEDED, or no answer in time.
func tooLong(err error) bool {
	var e *Exception
	if errors.As(err, &e) {
		return e.Code == 159 || e.Code == 241
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// Keep copies what is stored of observations into whence.observations_history,
// before they are stored again.
func (c *Client) Keep(ctx context.Context, observations []event.Observation) error {
	if len(observations) == 0 {
		return nil
	}
	if _, err := c.rewrite(ctx, tables.Keep(observations)); err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	return nil
}

// written reads the rows that a statement wrote out of its summary.
func written(header http.Header) (uint64, error) {
	var summary struct {
		Written string `json:"written_rows"`
	}
	text := header.Get("X-ClickHouse-Summary")
	err := json.Unmarshal([]byte(text), &summary)
	if err == nil {
		var rows uint64
		if rows, err = strconv.ParseUint(summary.Written, 10, 64); err == nil {
			return rows, nil
		}
	}
	return 0, &pipeline.Error{Class: pipeline.Retryable, Err: fmt.Errorf("summary %q: %w", text, err)}
}

// Announce says that a pass that closes facts is about to rewrite rows at a
// revision, and then asks for the others: the greatest revision that any of them
// knew, or a pass that was closed, and the greatest one below this of those that may
// be under way. Of two that announce at the same time one sees the other at least.
func (c *Client) Announce(ctx context.Context, pass, revision uint64) (latest, doubt uint64, err error) {
	if err := c.announce(ctx, pass, revision, true); err != nil {
		return 0, 0, err
	}
	return c.announced(ctx, pass, revision)
}

// AnnounceCommand says that a command is about to rewrite rows at whatever it will
// know, and then asks for the greatest revision that a pass knew. It closes nothing,
// so nobody has to know as much as it does; but until it is settled no pass leaves a
// row as it is.
func (c *Client) AnnounceCommand(ctx context.Context, pass uint64) (latest uint64, err error) {
	if err := c.announce(ctx, pass, math.MaxUint64, false); err != nil {
		return 0, err
	}
	latest, _, err = c.announced(ctx, pass, 0)
	return latest, err
}

func (c *Client) announce(ctx context.Context, pass, revision uint64, closes bool) error {
	err := c.exec(ctx, fmt.Sprintf("INSERT INTO whence_state.rewriting (pass, revision, closes) VALUES (%d, %d, %t)", pass, revision, closes),
		url.Values{"async_insert": {"0"}, "insert_deduplicate": {"0"}})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

func (c *Client) announced(ctx context.Context, pass, revision uint64) (latest, doubt uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	err = c.db.QueryRowContext(ctx, fmt.Sprintf(`
		WITH (SELECT (max(revision), max(known)) FROM whence_state.reconciled) AS closed
		SELECT greatest(maxIf(revision, closes), closed.1, closed.2), maxIf(revision, NOT closes OR revision < %d AND revision > closed.1)
		FROM whence_state.rewriting WHERE pass != %d`, revision, pass)).Scan(&latest, &doubt)
	if err != nil {
		return 0, 0, fmt.Errorf("announced: %w", Classify(err))
	}
	return latest, doubt, nil
}

// voidAtOnce bounds one statement of Settle.
const voidAtOnce = 100

// Settle drops what a pass has announced: nothing of it is under way any more. What
// others have announced goes too where the facts are closed. That of a command which
// is never settled goes after a day, as the contexts do without which its statements
// find nothing.
func (c *Client) Settle(ctx context.Context, pass uint64) error {
	drop := fmt.Sprintf("DROP PARTITION %d", pass)
	err := c.each(ctx, fmt.Sprintf(`SELECT toString(pass) FROM whence_state.rewriting WHERE pass != %d GROUP BY pass
		HAVING min(closes) AND max(revision) <= (SELECT max(revision) FROM whence_state.reconciled) LIMIT %d`, pass, voidAtOnce),
		func(row []string) { drop += ", DROP PARTITION " + row[0] })
	if err != nil {
		return err
	}
	return c.exec(ctx, "ALTER TABLE whence_state.rewriting "+drop, nil)
}

// Pass is one pass of reconcile: every fact up to Revision is in the rows.
type Pass struct {
	Revision  uint64
	Known     uint64 // the greatest revision that rows were compared with; 0: none were
	Facts     uint64 // that it closed
	Regions   int
	Corrected uint64 // rows
	Began     time.Time
}

// Closed writes a pass down. Of several the greatest revision is the cursor, so
// who comes late with a lesser one changes nothing.
func (c *Client) Closed(ctx context.Context, p Pass) error {
	err := c.exec(ctx, fmt.Sprintf(
		"INSERT INTO whence_state.reconciled (revision, known, facts, regions, corrected, began_at) VALUES (%d, %d, %d, %d, %d, %s)",
		p.Revision, p.Known, p.Facts, p.Regions, p.Corrected, fmt.Sprintf("fromUnixTimestamp64Milli(%d)", p.Began.UnixMilli())),
		url.Values{"async_insert": {"0"}, "insert_deduplicate": {"0"}})
	if err != nil {
		return fmt.Errorf("close revision %d: %w", p.Revision, err)
	}
	return nil
}

// Cursor is the revision up to which every fact is in every row it concerns.
func (c *Client) Cursor(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	var cursor uint64
	if err := c.db.QueryRowContext(ctx, "SELECT max(revision) FROM whence_state.reconciled").Scan(&cursor); err != nil {
		return 0, fmt.Errorf("cursor of reconcile: %w", Classify(err))
	}
	return cursor, nil
}

// Corrections is how far reconcile is.
type Corrections struct {
	Cursor     uint64
	Rows       uint64     // rewritten, ever
	LastClosed *time.Time // nil: nothing was ever closed
	Epoch      uint64     // of the context topic; 0: no worker has met it yet
	// Former is how many facts of former context topics are stored and not closed,
	// and LastFormer the revision of the last of them.
	Former, LastFormer uint64
}

// Corrections reads that, for the context topic of an id.
func (c *Client) Corrections(ctx context.Context, topicID [16]byte) (Corrections, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	var k Corrections
	err := c.db.QueryRowContext(ctx,
		"SELECT max(revision), sum(corrected), maxOrNull(closed_at) FROM whence_state.reconciled").Scan(&k.Cursor, &k.Rows, &k.LastClosed)
	if err == nil {
		k.Epoch, _, err = c.epochs(ctx, uuid.UUID(topicID).String())
	}
	if begin := k.Epoch << 40; err == nil && (k.Epoch == 0 || k.Cursor < begin) {
		// Those that a worker folds at its start: the ledger's last offsets may have
		// held nothing that raises a timeline's revision, and so the cursor.
		err = c.db.QueryRowContext(ctx, fmt.Sprintf("SELECT count(), max(revision) FROM (%s PREWHERE type IN (%s)%s)",
			snapshotQuery, payloadTypes, snapshotRange(k.Cursor, begin-1))).Scan(&k.Former, &k.LastFormer)
	}
	if err != nil {
		return k, fmt.Errorf("corrections: %w", Classify(err))
	}
	return k, nil
}

// StoredRevision is the revision up to which every fact is stored, 0 while
// there is none.
func (c *Client) StoredRevision(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	var revision uint64
	err := c.db.QueryRowContext(ctx, `
		SELECT max(bitShiftLeft(epochs.epoch, 40) + toUInt64(batches.to_offset - 1))
		FROM whence_state.batches INNER JOIN whence_state.epochs ON epochs.topic_id = batches.topic_id
		WHERE batches.to_offset > 0 AND batches.topic_id IN (SELECT topic_id FROM whence_state.epochs)`).Scan(&revision)
	if err != nil {
		return 0, fmt.Errorf("stored revision: %w", Classify(err))
	}
	return revision, nil
}
