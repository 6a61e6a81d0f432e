package pipelinetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Broker is a single-node Apache Kafka (KRaft) of its own process.
type Broker struct {
	Addr string

	t      testing.TB
	dir    string
	output bytes.Buffer
	cmd    *exec.Cmd
}

// StartBroker runs a real Apache Kafka until the test ends. Settings are added
// to server.properties. The test is skipped, with a line that says so, where
// java or mvn is missing.
func StartBroker(t testing.TB, settings map[string]string) *Broker {
	Need(t, "java", "mvn")
	b := &Broker{t: t, dir: t.TempDir(), Addr: FreeAddress(t)}
	properties := map[string]string{
		"process.roles": "broker,controller", "node.id": "1",
		"controller.listener.names": "CONTROLLER",
		"log.dirs":                  filepath.Join(b.dir, "log"),
		"num.partitions":            "1", "auto.create.topics.enable": "false",
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "1",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
		"transaction.state.log.num.partitions": "1",
		"group.initial.rebalance.delay.ms":     "0", "group.min.session.timeout.ms": "500",
	}
	controller := FreeAddress(t)
	properties["listeners"] = "PLAINTEXT://" + b.Addr + ",CONTROLLER://" + controller
	properties["controller.quorum.voters"] = "1@" + controller
	maps.Copy(properties, settings)
	var file bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&file, "%s=%s\n", key, properties[key])
	}
	config := filepath.Join(b.dir, "server.properties")
	if err := os.WriteFile(config, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	java(t, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", config)
	b.start(config)
	t.Cleanup(b.stop)
	b.awaitAnswer()
	return b
}

func (b *Broker) start(config string) {
	b.cmd = exec.Command("java", javaArguments(b.t, "kafka.Kafka", config)...)
	b.cmd.Stdout, b.cmd.Stderr = &b.output, &b.output
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Broker) stop() {
	_ = b.cmd.Process.Kill() // its data goes with the test
	_ = b.cmd.Wait()
	if b.t.Failed() {
		b.t.Logf("the broker's last lines:\n%s", tail(b.output.Bytes(), 4000))
	}
}

func (b *Broker) awaitAnswer() {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	Eventually(b.t, time.Minute, "the broker answers", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return client.Ping(ctx)
	})
}

// classPath is the broker's, fetched where the cache doesn't have it yet.
func classPath(t testing.TB) string {
	libs := filepath.Join(Cache(t), "kafka-4.3.1")
	done := filepath.Join(libs, "complete")
	if _, err := os.Stat(done); err == nil {
		return filepath.Join(libs, "*")
	}
	fetch := exec.Command("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+libs)
	fetch.Dir = filepath.Join(Root(), "pipeline", "pipelinetest", "testdata", "kafka")
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Fatalf("Apache Kafka could not be fetched: mvn: %v\n%s", err, out)
	}
	if err := os.WriteFile(done, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(libs, "*")
}

func javaArguments(t testing.TB, class string, arguments ...string) []string {
	return append([]string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.level=WARN", "-cp", classPath(t), class}, arguments...)
}

func java(t testing.TB, class string, arguments ...string) {
	if out, err := exec.Command("java", javaArguments(t, class, arguments...)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", class, err, out)
	}
}

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := UnusedAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

var given sync.Map // addresses

// UnusedAddress is [FreeAddress] where there is no test yet. It gives no address
// twice: the system may, before anybody listens there.
func UnusedAddress() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			return "", err
		}
		if _, twice := given.LoadOrStore(address, nil); !twice {
			return address, nil
		}
	}
}

// Eventually asks until the answer is nil, and fails the test with the last
// answer when it is not within the time.
func Eventually(t testing.TB, within time.Duration, what string, ask func() error) {
	t.Helper()
	deadline := time.After(within)
	await(t, what, ask, fmt.Sprintf("not within %s", within), func(error) <-chan time.Time { return deadline })
}

// Advancing is Eventually for what takes the longer the slower the machine is:
// it fails when the answer has not changed for so long.
func Advancing(t testing.TB, still time.Duration, what string, ask func() error) {
	t.Helper()
	last, deadline := "", time.After(still)
	await(t, what, ask, fmt.Sprintf("nothing new for %s", still), func(err error) <-chan time.Time {
		if now := err.Error(); now != last {
			last, deadline = now, time.After(still)
		}
		return deadline
	})
}

func await(t testing.TB, what string, ask func() error, late string, deadline func(error) <-chan time.Time) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-deadline(err):
			t.Fatalf("%s: %s: %v", what, late, err)
		case <-tick.C:
		}
	}
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}
