package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
)

// TopicSpec is a topic as it should be.
type TopicSpec struct {
	Name       string
	Partitions int32
	Settings   map[string]string
	// ExactPartitions: another number of partitions breaks what the topic is
	// for. Elsewhere it is a matter of taste.
	ExactPartitions bool
	// Foreign: someone else's, so it is as it should be however it is, and it is
	// created only where Partitions is not 0.
	Foreign bool
}

// Forever is a retention without an end.
const Forever = time.Duration(-1)

// TopicSpecs are the topics of an installation. Their timestamps are the
// broker's: retention deletes by record timestamp, and events of last year,
// published today, would be gone within minutes otherwise. A broker that
// keeps the producer's timestamps all the same (kfake) needs
// inputRetention Forever.
func TopicSpecs(t config.Topics, inputRetention time.Duration) []TopicSpec {
	retention := "-1"
	if inputRetention >= 0 {
		retention = strconv.FormatInt(inputRetention.Milliseconds(), 10)
	}
	specs := []TopicSpec{
		// The context log is a total order, so one partition, and what was once
		// said stays: it is trimmed by whence itself, below the oldest snapshot.
		{Name: t.ContextName(), Partitions: 1, ExactPartitions: true, Settings: settings("-1", t.Replication)},
		{Name: t.DeadLetterName(), Partitions: 1, Settings: settings("-1", t.Replication)},
	}
	// Readers take links up as they come; who comes later asks ClickHouse.
	specs = append(specs, TopicSpec{Name: t.LinksName(), Partitions: 1, Settings: settings(retention, t.Replication)})
	for i, name := range t.InputNames() {
		specs = append(specs, TopicSpec{Name: name, Partitions: t.Inputs[i].Partitions, Settings: settings(retention, t.Replication), Foreign: t.Inputs[i].Foreign()})
	}
	return specs
}

// RoutedSpecs are topics that rules route to: the operator's own, however they
// are, and made with one partition where they are missing.
func RoutedSpecs(names []string) []TopicSpec {
	specs := make([]TopicSpec, len(names))
	for i, name := range names {
		specs[i] = TopicSpec{Name: name, Partitions: 1, Foreign: true, Settings: map[string]string{"max.message.bytes": mostOfMessage}}
	}
	return specs
}

// mostOfMessage is a largest record, and its batch's framing on top.
var mostOfMessage = strconv.Itoa(MaxRecordBytes + 64<<10)

func settings(retention string, replication int16) map[string]string {
	s := map[string]string{
		"cleanup.policy":         "delete",
		"message.timestamp.type": "LogAppendTime",
		"max.message.bytes":      mostOfMessage,
		"retention.ms":           retention,
		"retention.bytes":        "-1",
	}
	if replication >= 3 {
		s["min.insync.replicas"] = "2"
	}
	return s
}

// TopicState is a topic as it is.
type TopicState struct {
	Name        string       `json:"topic"`
	State       string       `json:"state"` // created, present, missing
	Partitions  int          `json:"partitions"`
	Replication int          `json:"replication"`
	Differences []Difference `json:"differences,omitempty"`
}

// The states of a topic.
const (
	TopicCreated = "created"
	TopicPresent = "present"
	TopicMissing = "missing"
)

// Difference is a setting that is not as it should be.
type Difference struct {
	Key  string `json:"key"`
	Have string `json:"have"`
	Want string `json:"want"`
	// Breaks: whence can't work with it. The others cost reliability.
	Breaks bool `json:"breaks,omitempty"`
}

func (d Difference) String() string { return fmt.Sprintf("%s is %s, want %s", d.Key, d.Have, d.Want) }

// Topics creates what is missing of specs (unless checkOnly) and compares the
// rest with them, key by key. It never changes a topic that is there: what an
// operator has set is theirs. A foreign topic that nobody has asked to create
// stays missing. replication 0 is the broker's default.
func Topics(ctx context.Context, c Connection, specs []TopicSpec, replication int16, checkOnly bool) ([]TopicState, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	present, err := presentTopics(ctx, admin, specs)
	if err != nil {
		return nil, err
	}
	configs, err := admin.DescribeTopicConfigs(ctx, present.Names()...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	states := make([]TopicState, len(specs))
	for i, spec := range specs {
		topic, found := present[spec.Name]
		switch {
		case found:
			states[i], err = compare(spec, topic, configs)
		case checkOnly || spec.Foreign && spec.Partitions == 0:
			states[i] = TopicState{Name: spec.Name, State: TopicMissing}
		default:
			states[i], err = create(ctx, admin, spec, replication)
		}
		if err != nil {
			return nil, err
		}
	}
	return states, nil
}

// ClusterID is what the brokers say of themselves.
func ClusterID(ctx context.Context, c Connection) (string, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return "", fmt.Errorf("kafka client: %w", err)
	}
	defer client.Close()
	metadata, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return "", fmt.Errorf("cluster id: %w", err)
	}
	return metadata.Cluster, nil
}

// EnsureTopics is Topics for a program that starts: it creates what is missing
// and fails on what it can't work with. The differences that remain are
// returned for its log.
func EnsureTopics(ctx context.Context, c Connection, specs []TopicSpec, replication int16) ([]TopicState, error) {
	states, err := Topics(ctx, c, specs, replication, false)
	for _, s := range states {
		for _, d := range s.Differences {
			if d.Breaks {
				return nil, pipeline.Fatalf("make the topic anew, or name another in the configuration", "topic %s: %s", s.Name, d)
			}
		}
	}
	return states, err
}

func presentTopics(ctx context.Context, admin *kadm.Client, specs []TopicSpec) (kadm.TopicDetails, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	for name, d := range details {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
			delete(details, name)
		case d.Err != nil:
			return nil, fmt.Errorf("topic %s: %w", name, d.Err)
		}
	}
	return details, nil
}

func create(ctx context.Context, admin *kadm.Client, spec TopicSpec, replication int16) (TopicState, error) {
	if replication == 0 {
		replication = -1 // the broker's default, in the protocol
	}
	configs := map[string]*string{}
	for key, value := range spec.Settings {
		configs[key] = &value
	}
	made, err := admin.CreateTopic(ctx, spec.Partitions, replication, configs, spec.Name)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists): // another worker was faster
		return TopicState{Name: spec.Name, State: TopicPresent, Partitions: int(spec.Partitions)}, nil
	case err != nil:
		return TopicState{}, fmt.Errorf("create topic %s: %w", spec.Name, err)
	}
	// What was just made isn't read back: it takes a while until every broker
	// knows it.
	return TopicState{
		Name: spec.Name, State: TopicCreated,
		Partitions: int(made.NumPartitions), Replication: int(made.ReplicationFactor),
	}, nil
}

func compare(spec TopicSpec, topic kadm.TopicDetail, configs kadm.ResourceConfigs) (TopicState, error) {
	config, err := configs.On(spec.Name, nil)
	if err = errors.Join(err, config.Err); err != nil {
		return TopicState{}, fmt.Errorf("describe topic %s: %w", spec.Name, err)
	}
	s := TopicState{
		Name: spec.Name, State: TopicPresent,
		Partitions: len(topic.Partitions), Replication: topic.Partitions.NumReplicas(),
	}
	if !spec.Foreign {
		s.Differences = differences(spec, s.Partitions, config)
	}
	return s, nil
}

func differences(spec TopicSpec, partitions int, have kadm.ResourceConfig) []Difference {
	var all []Difference
	if partitions != int(spec.Partitions) {
		all = append(all, Difference{"partitions", strconv.Itoa(partitions), strconv.Itoa(int(spec.Partitions)), spec.ExactPartitions})
	}
	values := map[string]string{}
	for _, c := range have.Configs {
		values[c.Key] = c.MaybeValue()
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Settings)) {
		if value, known := values[key]; known && value != spec.Settings[key] {
			all = append(all, Difference{Key: key, Have: value, Want: spec.Settings[key]})
		}
	}
	return all
}
