package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func topicFaults() []*fault {
	return []*fault{
		{name: "offsets are lost, and taken from the ledger", inject: (*round).loseOffsets},
		{name: "a topic is deleted and made again", inject: (*round).remakeTopic},
		{name: "partitions are added", inject: (*round).addPartitions},
		{name: "the context log is trimmed to what is stored", inject: (*round).trimContext},
	}
}

// loseOffsets deletes the group. Its partitions stop, and an operator decides
// to go on where the ledger ends.
func (r *round) loseOffsets() string {
	n := len(r.fleet.all())
	r.fleet.stopAll()
	r.eventually("the groups are deleted", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		deleted, err := r.cluster.Admin.DeleteGroups(ctx, group, contextGroup)
		if err != nil {
			return err
		}
		if err := deleted.Error(); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return err
		}
		return nil
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
	return seen + ", " + r.sees("every partition has an offset again", 2*patience, r.committed)
}

// committed tells whether the groups have an offset for the context log and for
// every partition that events were published to.
func (r *round) committed() bool {
	return r.commits(group, r.published()) && r.commits(contextGroup, mark{partition{topic: topicContext}: 0})
}

func (r *round) commits(group string, partitions mark) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offsets, err := r.cluster.Admin.FetchOffsets(ctx, group)
	if err != nil || offsets.Error() != nil {
		return false
	}
	for p := range partitions {
		if at, known := offsets.Lookup(p.topic, p.number); !known || at.At < 0 {
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
		return err.Error()
	}
	if _, err := r.cluster.Admin.DeleteTopic(ctx, topicCampaign); err != nil {
		return err.Error()
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
		return err.Error()
	}
	n := len(topics["whence.measurements"].Partitions)
	added, err := r.cluster.Admin.CreatePartitions(ctx, 1, "whence.measurements")
	if err = errors.Join(err, added.Error()); err != nil {
		return err.Error()
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
		return err.Error()
	}
	ends, err := r.ledgerEnds()
	if err != nil {
		return err.Error()
	}
	end := ends[fmt.Sprintf("%X/0", ids[topicContext])]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topicContext, 0, end, -1)
	deleted, err := r.cluster.Admin.DeleteRecords(ctx, offsets)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return err.Error()
	}
	w := r.anyWorker()
	r.fleet.kill(w)
	r.fleet.start("")
	return fmt.Sprintf("trimmed to %d, %s", end, r.hears("starts", 1))
}
