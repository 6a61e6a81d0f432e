package pipelinetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster is a quorum of Apache Kafka nodes, each broker and controller in one,
// each a process of its own. Of three nodes or more, three hold everything and
// two have to be in sync.
type Cluster struct {
	Nodes []*Node
	// Seeds are the addresses that clients under test connect to: of links, and
	// the brokers advertise those too.
	Seeds []string
	// Admin goes past all links.
	Admin *kadm.Client

	t      testing.TB
	client *kgo.Client
}

// Node is one of them.
type Node struct {
	ID int32
	// Clients is the link that clients reach it by; Replicas the one that the
	// other brokers fetch from it by.
	Clients, Replicas *Link

	t       testing.TB
	dir     string
	admin   string
	process *exec.Cmd
	done    chan struct{}
}

// StartCluster runs that many nodes until the test ends. Settings are added to
// server.properties. The test is skipped, with a line that says so, where java
// or mvn is missing.
func StartCluster(t testing.TB, nodes int, settings map[string]string) *Cluster {
	t.Helper()
	Need(t, "java", "mvn")
	classPath(t) // fetched once, before three want it
	c := &Cluster{t: t}
	replication := min(nodes, 3)
	settings = maps.Clone(settings)
	if settings == nil {
		settings = map[string]string{}
	}
	for _, key := range []string{"default.replication.factor", "offsets.topic.replication.factor", "transaction.state.log.replication.factor"} {
		settings[key] = strconv.Itoa(replication)
	}
	for _, key := range []string{"min.insync.replicas", "transaction.state.log.min.isr"} {
		settings[key] = strconv.Itoa(max(1, replication-1))
	}
	var voters, admins []string
	listeners := make([]map[string]string, nodes)
	for i := range nodes {
		listeners[i] = map[string]string{"CLIENT": SettledAddress(t), "REPLICA": SettledAddress(t), "ADMIN": SettledAddress(t), "CONTROLLER": SettledAddress(t)}
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, listeners[i]["CONTROLLER"]))
		admins = append(admins, listeners[i]["ADMIN"])
	}
	for i := range nodes {
		n := &Node{ID: int32(i + 1), t: t, dir: t.TempDir(), admin: listeners[i]["ADMIN"]}
		n.Clients = NewLink(t, fmt.Sprintf("broker %d, clients", n.ID), listeners[i]["CLIENT"])
		n.Replicas = NewLink(t, fmt.Sprintf("broker %d, replicas", n.ID), listeners[i]["REPLICA"])
		n.configure(listeners[i], strings.Join(voters, ","), settings)
		c.Nodes = append(c.Nodes, n)
		c.Seeds = append(c.Seeds, n.Clients.Addr)
	}
	c.format()
	for _, n := range c.Nodes {
		n.Start()
		t.Cleanup(n.end)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(admins...), kgo.RequestTimeoutOverhead(5*time.Second), kgo.RetryTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c.client, c.Admin = client, kadm.NewClient(client)
	c.AwaitWhole(2 * time.Minute)
	return c
}

func (n *Node) configure(listeners map[string]string, voters string, settings map[string]string) {
	properties := map[string]string{
		"process.roles": "broker,controller", "node.id": fmt.Sprint(n.ID), "log.dirs": filepath.Join(n.dir, "log"),
		"controller.quorum.voters": voters, "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "REPLICA",
		"listener.security.protocol.map": "CLIENT:PLAINTEXT,REPLICA:PLAINTEXT,ADMIN:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"advertised.listeners":           "CLIENT://" + n.Clients.Addr + ",REPLICA://" + n.Replicas.Addr + ",ADMIN://" + listeners["ADMIN"],
		"num.partitions":                 "1", "auto.create.topics.enable": "false",
		"unclean.leader.election.enable": "false", "auto.leader.rebalance.enable": "false",
		"offsets.topic.num.partitions": "3", "transaction.state.log.num.partitions": "1",
		"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "500",
		// What is gone is noticed within seconds, so that a round takes seconds.
		"broker.session.timeout.ms": "4000", "broker.heartbeat.interval.ms": "500", "replica.lag.time.max.ms": "5000",
		"controller.quorum.election.timeout.ms": "1000", "controller.quorum.fetch.timeout.ms": "2000",
		"controlled.shutdown.enable": "true", "log.cleaner.dedupe.buffer.size": "4194304",
		"num.network.threads": "2", "num.io.threads": "4", "num.replica.fetchers": "1",
	}
	var all []string
	for name, address := range listeners {
		all = append(all, name+"://"+address)
	}
	properties["listeners"] = strings.Join(slices.Sorted(slices.Values(all)), ",")
	maps.Copy(properties, settings)
	var file bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&file, "%s=%s\n", key, properties[key])
	}
	if err := os.WriteFile(n.config(), file.Bytes(), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *Node) config() string { return filepath.Join(n.dir, "server.properties") }

// format prepares the nodes' folders, all at once: most of it is the start of
// a Java machine.
func (c *Cluster) format() {
	var all sync.WaitGroup
	for _, n := range c.Nodes {
		all.Go(func() {
			command := n.java("kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", n.config())
			if out, err := command.CombinedOutput(); err != nil {
				c.t.Errorf("format node %d: %v\n%s", n.ID, err, out)
			}
		})
	}
	all.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

func (n *Node) java(class string, arguments ...string) *exec.Cmd {
	return exec.Command("java", append([]string{"-Xms64m", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.level=WARN", "-cp", classPath(n.t), class}, arguments...)...)
}

// Start runs the node, which is not running.
func (n *Node) Start() { n.StartWith(nil) }

// StartWith is Start with more environment variables (NAME=value).
func (n *Node) StartWith(environment []string) {
	n.t.Helper()
	output, err := os.OpenFile(filepath.Join(n.dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer output.Close()
	n.process = n.java("kafka.Kafka", n.config())
	n.process.Stdout, n.process.Stderr = output, output
	n.process.Env = append(os.Environ(), environment...)
	n.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.done = make(chan struct{})
	go func(process *exec.Cmd, done chan struct{}) {
		_ = process.Wait() // most are killed
		close(done)
	}(n.process, n.done)
}

// Kill is kill -9, and waits for the end.
func (n *Node) Kill() {
	n.Signal(syscall.SIGKILL)
	<-n.done
}

// Stop lets the node hand its partitions over first, and waits for the end.
func (n *Node) Stop() {
	n.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
	case <-time.After(time.Minute):
		n.Kill()
	}
}

// Signal sends a signal; an ended node gets none.
func (n *Node) Signal(s syscall.Signal) { _ = n.process.Process.Signal(s) }

func (n *Node) end() {
	n.Kill() // its data goes with the test
	if !n.t.Failed() {
		return
	}
	if text, err := os.ReadFile(filepath.Join(n.dir, "output")); err == nil {
		n.t.Logf("the last lines of node %d:\n%s", n.ID, tail(text, 2000))
	}
}

// AwaitWhole waits until all nodes are up and every partition is in sync on
// all of them.
func (c *Cluster) AwaitWhole(within time.Duration) {
	c.t.Helper()
	Eventually(c.t, within, "the cluster is whole", c.Whole)
}

// Whole is nil when all nodes are up and every partition is in sync on all of
// them, as each of them sees it: one that stood still believes for a while
// what was true before.
func (c *Cluster) Whole() error { return c.asEachSees(c.whole) }

// TopicIDs are the ids of all topics, once all nodes agree: one may not have
// heard yet that a topic was made again.
func (c *Cluster) TopicIDs() (map[string][16]byte, error) {
	ids := map[string][16]byte{}
	err := c.asEachSees(func(metadata *kmsg.MetadataResponse) error {
		for _, topic := range metadata.Topics {
			if id, seen := ids[*topic.Topic]; seen && id != topic.TopicID {
				return fmt.Errorf("topic %s has two ids", *topic.Topic)
			}
			ids[*topic.Topic] = topic.TopicID
		}
		return nil
	})
	return ids, err
}

// asEachSees asks every node for what it knows.
func (c *Cluster) asEachSees(look func(*kmsg.MetadataResponse) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, n := range c.Nodes {
		answer, err := c.client.Broker(int(n.ID)).Request(ctx, kmsg.NewPtrMetadataRequest())
		if err == nil {
			err = look(answer.(*kmsg.MetadataResponse))
		}
		if err != nil {
			return fmt.Errorf("node %d: %w", n.ID, err)
		}
	}
	return nil
}

func (c *Cluster) whole(metadata *kmsg.MetadataResponse) error {
	if n := len(metadata.Brokers); n < len(c.Nodes) {
		return fmt.Errorf("%d of %d brokers", n, len(c.Nodes))
	}
	// Internal topics are among them: offsets are what it is about.
	for _, topic := range metadata.Topics {
		for _, p := range topic.Partitions {
			if len(p.ISR) < len(p.Replicas) || p.Leader < 0 || p.ErrorCode != 0 {
				return fmt.Errorf("%s/%d: leader %d, in sync %v of %v: %w", *topic.Topic, p.Partition, p.Leader, p.ISR, p.Replicas,
					errors.Join(kerr.ErrorForCode(p.ErrorCode), errPartly))
			}
		}
	}
	return nil
}

var errPartly = errors.New("not on all nodes")

// Controller is the node that leads the quorum.
func (c *Cluster) Controller() (*Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request := kmsg.NewDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{{}}
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return nil, err
	}
	for _, n := range c.Nodes {
		if len(answer.Topics) == 1 && len(answer.Topics[0].Partitions) == 1 && answer.Topics[0].Partitions[0].LeaderID == n.ID {
			return n, nil
		}
	}
	return nil, errors.New("the quorum has no leader")
}

// MoveLeaders makes another broker the leader of every partition of the topics.
func (c *Cluster) MoveLeaders(topics ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	metadata, err := c.Admin.Metadata(ctx, topics...)
	if err != nil {
		return err
	}
	var order kadm.AlterPartitionAssignmentsReq
	all := kadm.TopicsSet{}
	for _, topic := range metadata.Topics {
		for _, p := range topic.Partitions {
			next := append(slices.Clone(p.Replicas[1:]), p.Replicas[0])
			order.Assign(topic.Topic, p.Partition, next)
			all.Add(topic.Topic, p.Partition)
		}
	}
	changed, err := c.Admin.AlterPartitionAssignments(ctx, order)
	if err = errors.Join(err, changed.Error()); err != nil {
		return err
	}
	elected, err := c.Admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, all)
	for _, partitions := range elected {
		for _, p := range partitions {
			if p.Err != nil && !errors.Is(p.Err, kerr.ElectionNotNeeded) {
				err = errors.Join(err, p.Err)
			}
		}
	}
	return err
}
