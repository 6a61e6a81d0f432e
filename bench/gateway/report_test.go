package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/embedded"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/pipelinetest"
)

const reportSize = 50_000_000

// sarif writes a report of that many bytes or a few more, as a scanner's of a
// large repository: 200 rules, and results with a location, a snippet and a
// fingerprint each.
func sarif(to io.Writer, size int64) error {
	w := bufio.NewWriter(to)
	written := int64(0)
	say := func(format string, args ...any) {
		n, _ := fmt.Fprintf(w, format, args...) // Flush has the error
		written += int64(n)
	}
	say(`{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"tool":{"driver":{"name":"scanner","version":"1.2.3","rules":[`)
	for i := range 200 {
		if i > 0 {
			say(",")
		}
		say(`{"id":"RULE%03d","name":"rule%d","shortDescription":{"text":"What rule %d is about"},"help":{"text":%q},"properties":{"security-severity":"%d.%d"}}`,
			i, i, i, strings.Repeat("How to mend it. ", 20), i%10, i%10)
	}
	say(`]}},"results":[`)
	for i := 0; written < size; i++ {
		if i > 0 {
			say(",")
		}
		say(`{"ruleId":"RULE%03d","ruleIndex":%d,"level":"warning","message":{"text":"Value %d reaches a statement unchecked"},`, i%200, i%200, i)
		say(`"locations":[{"physicalLocation":{"artifactLocation":{"uri":"services/s%d/file%d.go"},"region":{"startLine":%d,"snippet":{"text":%q}}}}],`,
			i%50, i%3000, i%1000+1, strings.Repeat("x := f(y) ", 30))
		say(`"partialFingerprints":{"primaryLocationLineHash":"%016x:1"}}`, i)
	}
	say(`],"automationDetails":{"id":"nightly/"}}]}`)
	return w.Flush()
}

// BenchmarkReport sends a report of 50 MB to `whence ingest`, and says what its
// process held at most. An operation is one report.
func BenchmarkReport(b *testing.B) {
	broker, err := embedded.StartKafka(b.TempDir(), "127.0.0.1:0", zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = broker.Close() })
	topics := config.Default().Kafka.Topics
	if _, err := kafka.EnsureTopics(b.Context(), kafka.Connection{Seeds: []string{broker.Addr()}}, kafka.TopicSpecs(topics, kafka.Forever), 1); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(reportSize)
	for b.Loop() {
		p := pipelinetest.Run(b, nil, "ingest", "--kafka", broker.Addr(), "--listen", "127.0.0.1:0", "--listen-metrics", "")
		line := p.AwaitLine("ready", time.Minute)
		reading, writing := io.Pipe()
		go func() { _ = writing.CloseWithError(sarif(writing, reportSize)) }()
		reply, err := http.Post(line[strings.Index(line, "http://"):]+"/findings/sarif?service=shop", "application/sarif+json", reading)
		if err != nil {
			b.Fatal(err)
		}
		answer, _ := io.ReadAll(reply.Body)
		reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			b.Fatalf("%s: %s", reply.Status, answer)
		}
		b.Logf("%s", answer)
		b.ReportMetric(peak(b, p.Pid()), "MB-peak")
		p.Kill()
	}
}

// peak is the most memory that a process has had.
func peak(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("no /proc here, which says how much a process has held")
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kilobytes * 1024 / 1e6
		}
	}
	b.Fatal("the process has no peak")
	return 0
}
