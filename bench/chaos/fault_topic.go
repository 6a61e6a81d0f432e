package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func topicFaults() []*fault {
	return []*fault{
		{name: "offsets are lost, and taken from the ledger", inject: (*round).loseOffsets},
		{name: "offsets are set back to the beginning, and taken from the ledger", inject: (*round).setOffsetsBack},
		{name: "a topic is deleted and made again", inject: (*round).remakeTopic},
		{name: "partitions are added", inject: (*round).addPartitions},
		{name: "the context log is trimmed to what is stored", inject: (*round).trimContext},
	}
}

// mislay changes the groups' offsets while nobody works. Partitions stop then, and
// an operator decides to go on where the ledger ends.
func (r *round) mislay(change func(context.Context) error) string {
	n := len(r.fleet.all())
	r.fleet.stopAll()
	r.eventually("the groups' offsets are changed", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return change(ctx)
	})
	r.fleet.start("")
	seen := r.hears("partitions stopped", 2)
	config := r.fleet.config
	r.fleet.stopAll()
	r.fleet.config = r.configure("ledger")
	r.fleet.scale(n)
	r.later(func() {
		r.fleet.stopAll()
		r.fleet.config = config
		r.fleet.scale(n)
	})
	return seen + ", " + r.sees("every partition goes on where the ledger ends", 2*patience, r.goOn)
}

// loseOffsets deletes the groups.
func (r *round) loseOffsets() string {
	return r.mislay(func(ctx context.Context) error {
		deleted, err := r.cluster.Admin.DeleteGroups(ctx, group, contextGroup)
		if err != nil {
			return err
		}
		if err := deleted.Error(); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return err
		}
		return nil
	})
}

// setOffsetsBack is what kafka-consumer-groups does with --reset-offsets
// --to-earliest.
func (r *round) setOffsetsBack() string {
	return r.mislay(func(ctx context.Context) error {
		for group, topics := range map[string][]string{group: r.inputs(), contextGroup: {topicContext}} {
			starts, err := r.cluster.Admin.ListStartOffsets(ctx, topics...)
			if err = errors.Join(err, starts.Error()); err != nil {
				return err
			}
			if err := r.cluster.Admin.CommitAllOffsets(ctx, group, starts.Offsets()); err != nil {
				return err
			}
		}
		return nil
	})
}

// inputs are the topics that events were published to.
func (r *round) inputs() (topics []string) {
	for p := range r.published() {
		if !slices.Contains(topics, p.topic) {
			topics = append(topics, p.topic)
		}
	}
	return topics
}

// goOn tells whether the groups have an offset no less than the ledger's end, for
// the context log and for every partition that events were published to.
func (r *round) goOn() bool {
	facts, err := r.end(topicContext)
	return err == nil && r.commits(group, r.published()) && r.commits(contextGroup, facts)
}

func (r *round) commits(group string, partitions mark) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offsets, err := r.cluster.Admin.FetchOffsets(ctx, group)
	if err != nil || offsets.Error() != nil {
		return false
	}
	ends, err := r.ledgerEnds()
	if err != nil {
		return false
	}
	ids, err := r.topicIDs()
	if err != nil {
		return false
	}
	for p := range partitions {
		if p.id != ids[p.topic] {
			continue // of a topic that was made again since
		}
		if at, known := offsets.Lookup(p.topic, p.number); !known || at.At < ends[p.key()] {
			return false
		}
	}
	return true
}

// remakeTopic deletes a topic that was read to its end: what is deleted before
// it was read nobody can save.
func (r *round) remakeTopic() string {
	r.publisher.pause()
	r.awaitCovered(r.published())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	before, err := r.cluster.Admin.ListTopics(ctx, topicCampaign)
	if err != nil {
		return r.misses(err.Error())
	}
	if _, err := r.cluster.Admin.DeleteTopic(ctx, topicCampaign); err != nil {
		return r.misses(err.Error())
	}
	// Deletion is not done when it is acknowledged.
	r.eventually("the topic is made again", func() error {
		_, err := r.cluster.Admin.CreateTopic(ctx, int32(len(before[topicCampaign].Partitions)), 3, map[string]*string{
			"message.timestamp.type": kadm.StringPtr("LogAppendTime"), "max.message.bytes": kadm.StringPtr("16842752"), "min.insync.replicas": kadm.StringPtr("2"),
		}, topicCampaign)
		return err
	})
	r.eventually("the cluster is whole", r.cluster.Whole)
	r.publisher.client.PurgeTopicsFromProducing(topicCampaign)
	old := r.record.ids[topicCampaign]
	r.eventually("all brokers know the new topic", func() error {
		r.lookUpTopics()
		if r.record.ids[topicCampaign] == old {
			return errors.New("it has the old id")
		}
		return nil
	})
	r.publisher.resume()
	return r.goesOn(1000)
}

func (r *round) addPartitions() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	topics, err := r.cluster.Admin.ListTopics(ctx, "whence.measurements")
	if err != nil {
		return r.misses(err.Error())
	}
	n := len(topics["whence.measurements"].Partitions)
	added, err := r.cluster.Admin.CreatePartitions(ctx, 1, "whence.measurements")
	if err = errors.Join(err, added.Error()); err != nil {
		return r.misses(err.Error())
	}
	p := partition{"whence.measurements", r.record.ids["whence.measurements"], int32(n)}
	// Members of a group look for new partitions every five minutes only.
	r.later(func() {
		n := len(r.fleet.all())
		r.fleet.stopAll()
		r.fleet.scale(n)
	})
	return r.sees(fmt.Sprintf("partition %d is published to", n), patience, func() bool {
		r.record.mu.Lock()
		defer r.record.mu.Unlock()
		return r.record.records[p] > 0
	})
}

// trimContext deletes from the context log what the ledger says is stored.
func (r *round) trimContext() string {
	ids, err := r.topicIDs()
	if err != nil {
		return r.misses(err.Error())
	}
	ends, err := r.ledgerEnds()
	if err != nil {
		return r.misses(err.Error())
	}
	end := ends[fmt.Sprintf("%X/0", ids[topicContext])]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topicContext, 0, end, -1)
	deleted, err := r.cluster.Admin.DeleteRecords(ctx, offsets)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return r.misses(err.Error())
	}
	w := r.anyWorker()
	r.fleet.kill(w)
	r.fleet.start("")
	return fmt.Sprintf("trimmed to %d, %s", end, r.hears("starts", 1))
}
