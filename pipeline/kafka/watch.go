package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Watch reads topics as they are written, beside the group that consumes them:
// it joins nothing and commits nothing, and takes bandwidth alone.
type Watch struct {
	Connection
	Topics     []string
	MaxRecords int // in one batch
}

// Run hands over what comes, a batch a partition, until ctx is done or seen fails.
// From is when Kafka took the first record that counts: event.Always is all
// there are, event.Forever those that come from now on.
func (w *Watch) Run(ctx context.Context, from event.Millis, seen func(*pipeline.Batch) error) error {
	start := kgo.NewOffset().AfterMilli(int64(from))
	switch from {
	case event.Always:
		start = kgo.NewOffset().AtStart()
	case event.Forever:
		start = kgo.NewOffset().AtEnd()
	}
	client, err := kgo.NewClient(w.options(
		kgo.ConsumeTopics(w.Topics...), kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start),
		kgo.MaxDecompressBatchBytes(maxDecompressed),
	)...)
	if err != nil {
		return clientError(err)
	}
	defer client.Close()
	for {
		fetches := client.PollRecords(ctx, w.MaxRecords)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			if errors.Is(err, kerr.UnknownTopicOrPartition) {
				err = &pipeline.Error{Err: err, Hint: "whence topics --check lists the topics"}
			}
			failed = errors.Join(failed, fmt.Errorf("%s/%d: %w", topic, partition, err))
		})
		if failed != nil {
			return failed
		}
		fetches.EachPartition(func(ft kgo.FetchTopicPartition) {
			if failed != nil || len(ft.Records) == 0 {
				return
			}
			failed = seen(watched(&ft))
		})
		if failed != nil {
			return failed
		}
	}
}

func watched(ft *kgo.FetchTopicPartition) *pipeline.Batch {
	b := &pipeline.Batch{Topic: ft.Topic, Partition: ft.Partition, From: ft.Records[0].Offset}
	for _, r := range ft.Records {
		b.Records = append(b.Records, record(r))
		b.To = r.Offset + 1
	}
	return b
}
