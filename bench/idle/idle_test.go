// Package idle measures what `whence up` holds when nothing happens: the
// pipeline, the embedded Kafka and the ClickHouse engine.
//
//	go test -run '^$' -bench . -benchtime 1x -count 10 ./bench/idle
package idle

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// BenchmarkUp reports the resident memory of the process tree, five seconds
// after it is ready; shared pages of the library count once, for one process
// maps it.
func BenchmarkUp(b *testing.B) {
	for b.Loop() {
		begun := time.Now()
		up := pipelinetest.Run(b, nil, "up", "--data", b.TempDir(), "--listen-kafka", "127.0.0.1:0",
			"--listen-clickhouse", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0")
		up.AwaitLine("ready", time.Minute)
		b.ReportMetric(time.Since(begun).Seconds(), "s-to-ready")
		<-time.After(5 * time.Second) // first collections, first merges
		b.ReportMetric(float64(resident(b, up.Pid()))/1e6, "MB-resident")
		up.Kill()
	}
}

// resident is bytes of a process and its children.
func resident(b *testing.B, pid int) int64 {
	out, err := exec.Command("ps", "-e", "-o", "pid=,ppid=,rss=").Output()
	if err != nil {
		b.Fatal(err)
	}
	tree := map[int]bool{pid: true}
	var total int64
	for line := range bytes.Lines(out) { // children have greater ids than their parent
		fields := strings.Fields(string(line))
		if len(fields) != 3 {
			b.Fatalf("ps says %q", line)
		}
		id, parent, kilobytes := number(b, fields[0]), number(b, fields[1]), number(b, fields[2])
		if tree[id] || tree[parent] {
			tree[id] = true
			total += int64(kilobytes) * 1024
		}
	}
	if len(tree) < 2 {
		b.Fatal(fmt.Errorf("no child of %d: where is the engine? (%s)", pid, os.Args[0]))
	}
	return total
}

func number(b *testing.B, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
