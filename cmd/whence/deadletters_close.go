package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// letterCloser is the last stage of a replay of a topic: a dead letter whose record
// the replay has stored, or a rule has dropped, is open no longer. Killed before
// it, the replay is repeated, and the letter closed then.
type letterCloser struct {
	store  *clickhouse.Client
	replay string // its name
	now    event.Millis
}

func (letterCloser) Name() string { return "letters" }

func (c letterCloser) Process(ctx context.Context, b *pipeline.Batch) error {
	letters, err := c.store.OpenLetters(ctx, b)
	if err != nil || len(letters) == 0 {
		return err
	}
	fates := fatesOf(b)
	block := tables.NewLetterReplays()
	for _, l := range letters {
		// Of a topic that was made anew, another record is at that place.
		taken := slices.ContainsFunc(b.Records, func(r pipeline.Record) bool { return r.Offset == l.Offset && r.Timestamp == l.ReceivedAt })
		if outcome := fates.of(l.Offset); taken && outcome != tables.LetterDead {
			block.Append(&tables.LetterReplay{
				Topic: l.Topic, TopicID: l.TopicID, Partition: l.Partition, Offset: l.Offset, Outcome: outcome, ReplayedAt: c.now,
			})
		}
	}
	if block.Rows() == 0 {
		return nil
	}
	return c.store.Insert(ctx, block, "replay "+c.replay+"|"+b.Token(block.Table()))
}

// fates are what has become of the records of a batch, by their offsets.
type fates struct {
	dead  map[int64]*pipeline.DeadLetter
	types map[int64]map[string]bool // of the events that each has brought
}

func fatesOf(b *pipeline.Batch) fates {
	f := fates{dead: map[int64]*pipeline.DeadLetter{}, types: typesByOffset(b)}
	for i := range b.Dead {
		f.dead[b.Dead[i].Offset] = &b.Dead[i]
	}
	return f
}

// of is the outcome for the record at an offset.
func (f fates) of(offset int64) string {
	switch {
	case f.dead[offset] != nil:
		return tables.LetterDead
	case f.types[offset] != nil:
		return tables.LetterStored
	}
	return tables.LetterDropped
}

// waysOut tells what is left to do where a rule withholds the bytes of a letter, of
// a topic and offset, whose record is in the configuration's Kafka.
func waysOut(topic string, offset int64, config string) string {
	return fmt.Sprintf("while Kafka has what was sent, `whence replay --config %s --topic %s --from %d` takes it, and all that came after it, "+
		"through the pipeline; `unreadable: keep` in the file of the rule keeps such bytes in letters to come", display.Word(config), display.Word(topic), offset)
}
