package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Replay takes a stretch of a topic through a chain once more, beside the group
// that consumes it: it joins nothing and commits nothing.
type Replay struct {
	Connection
	Topic      string
	MaxRecords int // in one batch
	Stages     []pipeline.Processor
	Width      func() int // see Consumer
	// Retrying is told why a batch is tried again: at the first failure, and then
	// once a minute.
	Retrying func(err error)

	told time.Time // when Retrying was last told anything
}

// replayPatience is how long a stage may fail with one batch. A worker has no end
// to it, but here somebody waits.
const replayPatience = 5 * time.Minute

// Stretch is offsets [From, To) of a partition.
type Stretch struct {
	Partition int32
	From, To  int64
}

// Offsets finds the records of the topic that were appended in [from, to), or,
// where offset is not negative, at that offset of each partition and after it.
// What was deleted is left out.
func (r *Replay) Offsets(ctx context.Context, offset int64, from, to event.Millis) ([]Stretch, error) {
	client, err := kgo.NewClient(r.options()...)
	if err != nil {
		return nil, clientError(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, r.Topic)
	ends, endErr := admin.ListEndOffsets(ctx, r.Topic)
	if err = errors.Join(err, endErr); err == nil {
		err = errors.Join(starts.Error(), ends.Error())
	}
	if err != nil {
		return nil, &pipeline.Error{Err: fmt.Errorf("topic %s: %w", r.Topic, err), Hint: "whence topics --check lists the topics"}
	}
	at := func(t event.Millis) (kadm.ListedOffsets, error) {
		found, err := admin.ListOffsetsAfterMilli(ctx, int64(t), r.Topic)
		if err == nil {
			err = found.Error()
		}
		return found, err
	}
	stretches := map[int32]*Stretch{}
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(r.Topic, end.Partition)
		stretches[end.Partition] = &Stretch{end.Partition, max(start.Offset, offset), end.Offset}
	})
	if from != event.Always {
		begins, err := at(from)
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", r.Topic, err)
		}
		begins.Each(func(o kadm.ListedOffset) { s := stretches[o.Partition]; s.From = max(s.From, o.Offset) })
	}
	if to != event.Forever {
		finish, err := at(to)
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", r.Topic, err)
		}
		finish.Each(func(o kadm.ListedOffset) { s := stretches[o.Partition]; s.To = min(s.To, o.Offset) })
	}
	all := make([]Stretch, 0, len(stretches))
	for _, s := range stretches {
		if s.From < s.To {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b Stretch) int { return cmp.Compare(a.Partition, b.Partition) })
	return all, nil
}

// Run processes the stretches, batch by batch, and calls done after each. A
// batch whose stage fails is tried again for five minutes.
func (r *Replay) Run(ctx context.Context, stretches []Stretch, done func(b *pipeline.Batch)) error {
	open := map[int32]*partition{}
	ends := map[int32]int64{}
	begin := map[int32]kgo.Offset{}
	for _, s := range stretches {
		open[s.Partition] = &partition{topic: r.Topic, id: s.Partition, next: s.From}
		ends[s.Partition], begin[s.Partition] = s.To, kgo.NewOffset().At(s.From)
	}
	client, err := kgo.NewClient(r.options(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.Topic: begin}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.MaxDecompressBatchBytes(maxDecompressed),
		kgo.FetchMaxPartitionBytes(8<<20),
		kgo.KeepControlRecords(), // the last offsets may hold nothing else
	)...)
	if err != nil {
		return clientError(err)
	}
	defer client.Close()
	for len(open) > 0 {
		fetches := client.PollRecords(ctx, r.MaxRecords)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := fetches.Err()
		fetches.EachPartition(func(ft kgo.FetchTopicPartition) {
			p := open[ft.Partition]
			if err != nil || p == nil || len(ft.Records) == 0 {
				return
			}
			err = r.batch(ctx, p, ft.Records, ends[ft.Partition], done)
			if p.next = ft.Records[len(ft.Records)-1].Offset + 1; p.next >= ends[ft.Partition] {
				delete(open, ft.Partition)
			}
		})
		if err != nil {
			return fmt.Errorf("replay of %s: %w", r.Topic, err)
		}
	}
	return nil
}

// batch processes the records that lie before end.
func (r *Replay) batch(ctx context.Context, p *partition, records []*kgo.Record, end int64, done func(*pipeline.Batch)) error {
	p.hold(slices.DeleteFunc(slices.Clone(records), func(r *kgo.Record) bool { return r.Offset >= end || r.Attrs.IsControl() }))
	width := widthOf(r.Width)
	for {
		left := roundBytes
		b, err := p.cut(&left, width)
		if err != nil || b == nil {
			return err
		}
		if err := r.process(ctx, b); err != nil {
			return err
		}
		p.next = b.To
		done(b)
	}
}

func (r *Replay) process(ctx context.Context, b *pipeline.Batch) error {
	for _, stage := range r.Stages {
		if err := r.stage(ctx, stage, b); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replay) stage(ctx context.Context, stage pipeline.Processor, b *pipeline.Batch) error {
	var failing time.Time
	for {
		err := stage.Process(ctx, b)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %s/%d [%d, %d): %w", stage.Name(), b.Topic, b.Partition, b.From, b.To, err)
		now := time.Now()
		if failing.IsZero() {
			failing = now
		}
		switch {
		case pipeline.ClassOf(err) == pipeline.Fatal, ctx.Err() != nil:
			return err
		case now.Sub(failing) >= replayPatience:
			return fmt.Errorf("given up after %s: %w", now.Sub(failing).Round(time.Second), err)
		case now.Sub(r.told) >= time.Minute:
			r.told = now
			r.Retrying(err)
		}
		if !sleep(ctx, time.Second) {
			return err
		}
	}
}
