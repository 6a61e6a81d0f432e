package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Letters picks dead letters. Empty lists mean any.
type Letters struct {
	Reasons, Types, Topics []string
	// Sources are what events state, or tools (the header whence-source).
	Sources []string
	// Since and Until bound when Kafka took the record; Until is exclusive.
	Since, Until event.Millis
	Places       []Place
	// Replayed: those too that a replay has made good.
	Replayed bool
}

// Place is where a letter's record was. A topic that was made anew has several
// records at one place.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (p Place) String() string { return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset) }

// LetterGroup is letters that are alike, with one of them.
type LetterGroup struct {
	Reason, Topic, Source, Type string
	Letters                     uint64
	First, Last                 event.Millis // when Kafka took them
	Example                     Place        // the last
	Detail                      string       // of the example
}

// ReplayedLetter is a dead letter with what a replay made of it.
type ReplayedLetter struct {
	pipeline.DeadLetter
	// Outcome is stored, dropped or dead; empty: it was not replayed.
	Outcome, Now string // Now is why it is dead still
	ReplayedAt   event.Millis
}

// sourceOf is whose a letter is: what its event states, or the tool.
const sourceOf = "if(source = '', headers['whence-source'], source)"

func (l Letters) where() (string, []any) {
	var conditions []string
	var values []any
	add := func(condition string, more ...any) {
		conditions, values = append(conditions, condition), append(values, more...)
	}
	for _, list := range []struct {
		column string
		values []string
	}{{"reason", l.Reasons}, {"type", l.Types}, {"topic", l.Topics}} {
		if len(list.values) > 0 {
			add(list.column+" IN (?)", list.values)
		}
	}
	if len(l.Sources) > 0 {
		add("(source IN (?) OR headers['whence-source'] IN (?))", l.Sources, l.Sources)
	}
	if l.Since != event.Always {
		add("received_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')", int64(l.Since))
	}
	if l.Until != event.Forever {
		add("received_at < fromUnixTimestamp64Milli(toInt64(?), 'UTC')", int64(l.Until))
	}
	if len(l.Places) > 0 {
		var places []string
		for _, p := range l.Places {
			places = append(places, "(topic = ? AND partition = ? AND offset = ?)")
			values = append(values, p.Topic, p.Partition, p.Offset)
		}
		conditions = append(conditions, "("+strings.Join(places, " OR ")+")")
	}
	if len(conditions) == 0 {
		return "true", nil
	}
	return strings.Join(conditions, " AND "), values
}

func (l Letters) table() string {
	if l.Replayed || len(l.Places) > 0 {
		return "(SELECT * FROM whence.dead_letters FINAL)"
	}
	return "whence.open_dead_letters"
}

// LetterGroups counts letters by reason, topic, source and type, the most first.
func (c *Client) LetterGroups(ctx context.Context, l Letters, limit int) ([]LetterGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	where, values := l.where()
	rows, err := c.db.QueryContext(ctx, `
		SELECT reason, topic, `+sourceOf+` AS whose, type, count() AS letters,
			toUnixTimestamp64Milli(min(received_at)), toUnixTimestamp64Milli(max(received_at)) AS last,
			argMax((partition, offset, detail), (received_at, partition, offset)) AS example,
			example.1, example.2, example.3
		FROM `+l.table()+` WHERE `+where+`
		GROUP BY reason, topic, whose, type
		ORDER BY letters DESC, last DESC, reason, topic, whose, type
		LIMIT `+fmt.Sprint(limit), values...)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", Classify(err))
	}
	defer rows.Close()
	var groups []LetterGroup
	for rows.Next() {
		var g LetterGroup
		var tuple any
		var first, last int64
		if err := rows.Scan(&g.Reason, &g.Topic, &g.Source, &g.Type, &g.Letters, &first, &last, &tuple,
			&g.Example.Partition, &g.Example.Offset, &g.Detail); err != nil {
			return nil, fmt.Errorf("dead letters: %w", Classify(err))
		}
		g.First, g.Last, g.Example.Topic = event.Millis(first), event.Millis(last), g.Topic
		groups = append(groups, g)
	}
	return groups, Classify(rows.Err())
}

// LettersAfter are the next letters behind one (nil: from the first), in the
// order of their places, as many as limit says.
func (c *Client) LettersAfter(ctx context.Context, l Letters, after *pipeline.DeadLetter, limit int) ([]ReplayedLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	where, values := l.where()
	if after != nil {
		where += " AND (topic_id, partition, offset) > (toUUID(?), toInt32(?), toInt64(?))"
		values = append(values, uuid.UUID(after.TopicID).String(), after.Partition, after.Offset)
	}
	rows, err := c.db.QueryContext(ctx, `
		SELECT l.topic, l.topic_id, l.partition, l.offset, l.key, l.value, mapKeys(l.headers), mapValues(l.headers), l.reason, l.detail,
			l.source, l.id, l.type, if(isNull(l.time), 0, toUnixTimestamp64Milli(assumeNotNull(l.time))), toUnixTimestamp64Milli(l.received_at),
			r.outcome, r.detail, toUnixTimestamp64Milli(r.replayed_at)
		FROM (SELECT * FROM `+l.table()+` WHERE `+where+` ORDER BY topic_id, partition, offset LIMIT `+fmt.Sprint(limit)+`) AS l
		LEFT JOIN (SELECT * FROM whence.dead_letter_replays FINAL) AS r
			ON r.topic_id = l.topic_id AND r.partition = l.partition AND r.offset = l.offset
		ORDER BY l.topic_id, l.partition, l.offset`, values...)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", Classify(err))
	}
	defer rows.Close()
	var letters []ReplayedLetter
	for rows.Next() {
		letter, err := scanLetter(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("dead letters: %w", Classify(err))
		}
		letters = append(letters, letter)
	}
	return letters, Classify(rows.Err())
}

// OpenLetters are the open letters of the batch's partition and offsets, of any
// topic that has had the name, in no order: their places, and when Kafka took them.
func (c *Client) OpenLetters(ctx context.Context, b *pipeline.Batch) ([]pipeline.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	rows, err := c.db.QueryContext(ctx, `
		SELECT topic_id, offset, toUnixTimestamp64Milli(received_at) FROM whence.open_dead_letters
		WHERE topic = ? AND partition = ? AND offset >= ? AND offset < ?`, b.Topic, b.Partition, b.From, b.To)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", Classify(err))
	}
	defer rows.Close()
	var letters []pipeline.DeadLetter
	for rows.Next() {
		var id uuid.UUID
		var received int64
		l := pipeline.DeadLetter{Provenance: event.Provenance{Topic: b.Topic, Partition: b.Partition}}
		if err := rows.Scan(&id, &l.Offset, &received); err != nil {
			return nil, fmt.Errorf("dead letters: %w", Classify(err))
		}
		l.TopicID, l.ReceivedAt = id, event.Millis(received)
		letters = append(letters, l)
	}
	return letters, Classify(rows.Err())
}

func scanLetter(scan func(...any) error) (ReplayedLetter, error) {
	var l ReplayedLetter
	var id uuid.UUID
	var key, value *string
	var names, texts []string
	var reason string
	var at, received, replayed int64
	err := scan(&l.Topic, &id, &l.Partition, &l.Offset, &key, &value, &names, &texts, &reason, &l.Detail,
		&l.Source, &l.ID, &l.Type, &at, &received, &l.Outcome, &l.Now, &replayed)
	if err != nil {
		return l, err
	}
	l.TopicID, l.Reason, l.Time, l.ReceivedAt = id, pipeline.Reason(reason), event.Millis(at), event.Millis(received)
	if key != nil {
		l.Key = []byte(*key)
	}
	if value != nil {
		l.Value = []byte(*value)
	}
	for i, name := range names {
		l.Headers = append(l.Headers, pipeline.Header{Key: name, Value: []byte(texts[i])})
	}
	if l.Outcome != "" {
		l.ReplayedAt = event.Millis(replayed)
	}
	return l, nil
}

// CountLetters is how many letters there are.
func (c *Client) CountLetters(ctx context.Context, l Letters) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.QueryTimeout)
	defer cancel()
	where, values := l.where()
	err = c.db.QueryRowContext(ctx, "SELECT count() FROM "+l.table()+" WHERE "+where, values...).Scan(&n)
	return n, Classify(err)
}
