// Package seal_test measures what vitals cost beside ingest: the processor time
// of the engine for the same observations without touches, with them, and with
// a sealer at work.
//
//	go test ./bench/seal -run '^$' -bench . -benchtime 1x -count 10
package seal_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/processors/seal"
	"github.com/whencehq/whence/processors/store"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

var (
	seconds  = flag.Int("seconds", 240, "of event time that are ingested")
	services = flag.Int("services", 100, "that the observations are of")
)

// What is measured of each: without touches, with touches, and with seals too.
const (
	plain = iota
	touching
	sealing
	variants
)

// A batch a second of event time. Every minute is sealed in the end, so that
// the whole cost of every observation is in; merges that follow are waited for.
func BenchmarkVitals(b *testing.B) {
	for _, batch := range []int{2000, 10_000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) { compare(b, batch, 0) })
	}
	// Each straggler opens a minute of a service that may have been sealed.
	b.Run("batch=10000/late=1:10000", func(b *testing.B) { compare(b, 10_000, 1e-4) })
}

func compare(b *testing.B, batch int, late float64) {
	var used [variants]time.Duration
	n := 0
	for b.Loop() {
		for variant := range variants {
			used[variant] += ingest(b, variant, batch, late)
		}
		n += batch * *seconds
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	b.ReportMetric(per(used[plain]), "plain-cpu-us/observation")
	b.ReportMetric(per(used[sealing]), "vitals-cpu-us/observation")
	b.ReportMetric(100*float64(used[touching]-used[plain])/float64(used[plain]), "%-touching")
	b.ReportMetric(100*float64(used[sealing]-used[touching])/float64(used[plain]), "%-sealing")
	b.ReportMetric(100*float64(used[sealing]-used[plain])/float64(used[plain]), "%-both")
	b.ReportMetric(0, "ns/op")
}

// ingest returns the processor time that an engine of its own used.
func ingest(b *testing.B, variant, batch int, late float64) time.Duration {
	engine := pipelinetest.Run(b, nil, "engine", "--data", b.TempDir(), "--listen", "127.0.0.1:0")
	defer engine.Kill()
	line := engine.AwaitLine("ready", time.Minute)
	client, err := clickhouse.Open(b.Context(), clickhouse.Config{URL: line[strings.LastIndex(line, "http"):], InsertTimeout: time.Minute})
	must(b, err)
	defer client.Close()
	must(b, client.Migrate(b.Context(), zap.NewNop()))

	stage := &store.Events{Sink: &sink{client, variant >= touching}}
	now := time.Time{} // the sealer's clock goes by event time
	sealer := seal.New(seal.Config{}, client, silent{}, func() time.Time { return now })
	random := rand.New(rand.NewPCG(1, 1))
	before := processorTime(b, engine.Pid())
	for second := range *seconds {
		must(b, stage.Process(b.Context(), observed(random, second, batch, late)))
		now = now.Add(time.Second)
		if variant == sealing && now.Unix()%int64(seal.Config{}.Every()/time.Second) == 0 {
			must(b, sealer.Look(b.Context()))
		}
	}
	for range 3 {
		if now = now.Add(time.Minute); variant == sealing {
			must(b, sealer.Look(b.Context()))
		}
	}
	settle(b, client)
	used := processorTime(b, engine.Pid()) - before
	if variant == sealing {
		everythingIsSealed(b, client, batch)
	}
	return used
}

// settle waits until the engine has merged what it wants to merge.
func settle(b *testing.B, client *clickhouse.Client) {
	for quiet := 0; quiet < 10; {
		var merges int
		must(b, client.DB().QueryRowContext(b.Context(), "SELECT toInt64(count()) FROM system.merges").Scan(&merges))
		if quiet++; merges > 0 {
			quiet = 0
		}
		<-time.After(100 * time.Millisecond)
	}
}

func everythingIsSealed(b *testing.B, client *clickhouse.Client, batch int) {
	hours, err := client.OpenHours(b.Context())
	must(b, err)
	var observations uint64
	must(b, client.DB().QueryRowContext(b.Context(), "SELECT sum(arraySum(deployments.observations)) FROM whence_state.sealed FINAL").Scan(&observations))
	if want := uint64(batch * *seconds); len(hours) > 0 || observations != want {
		b.Fatalf("%d observations are sealed of %d, %d hours are open", observations, want, len(hours))
	}
}

var start = event.MillisOf(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))

// observed is a batch of a second's observations, each service served by two
// deployments. Some are late, by up to ten minutes.
func observed(random *rand.Rand, second, rows int, late float64) *pipeline.Batch {
	from := int64(second) * int64(rows)
	b := &pipeline.Batch{
		Topic: "whence.behavior", From: from, To: from + int64(rows), Hash: uint64(second), Revision: 1 << 40,
		Records: make([]pipeline.Record, rows), Observations: make([]event.Observation, rows), Enrichments: make([]event.Enrichment, rows),
	}
	unknown := event.Unknown
	for i := range rows {
		b.Records[i].Offset = from + int64(i)
		at := start + event.Millis(second*1000+i*1000/rows)
		if random.Float64() < late {
			at = max(start, at-event.Millis(random.IntN(600_000)))
		}
		service, track := random.IntN(*services), random.IntN(2)
		ok := event.True
		if random.IntN(50) == 0 {
			ok = event.False
		}
		b.Observations[i] = event.Observation{
			Event: event.Event{
				ID: fmt.Sprintf("%010d", from+int64(i)), Source: "web/shop", Type: "io.whence.behavior.recorded", Time: at, Hash: random.Uint64(),
			},
			Provenance: event.Provenance{ReceivedAt: at, Topic: b.Topic, Offset: from + int64(i)},
			Name:       [...]string{"page.viewed", "search", "cart.filled", "checkout"}[random.IntN(4)],
			Service:    fmt.Sprint("service-", service), Environment: "production",
			User: fmt.Sprint("user-", random.IntN(50_000)), Session: fmt.Sprint("session-", random.IntN(90_000)),
			Version: fmt.Sprint("v", track), Instance: fmt.Sprint("i-", random.IntN(20)), OK: ok,
			DurationMS: math.Exp(4 + random.NormFloat64()), Value: unknown, Weight: unknown,
			Attributes: []event.Pair{{Key: "country", Value: "de"}, {Key: "device", Value: "phone"}, {Key: "plan", Value: "pro"}},
			IntervalMS: unknown, Requests: unknown, Errors: unknown, SuccessRatio: unknown,
			LatencyMS: unknown, LatencyP99MS: unknown, CPURatio: unknown, MemoryRatio: unknown,
		}
		b.Enrichments[i] = event.Enrichment{
			DeploymentID: fmt.Sprint("service-", service, "-", track), DeployedVersion: b.Observations[i].Version, DeploymentAgeMS: int64(second) * 1000,
			Owner: "team", Tier: "1", CanonicalService: b.Observations[i].Service, Revision: b.Revision,
		}
	}
	return b
}

// sink leaves touches out where they are not measured.
type sink struct {
	*clickhouse.Client
	touching bool
}

func (s *sink) Insert(ctx context.Context, block tables.Block, token string) error {
	if block.Table() == "whence_state.touches" && !s.touching {
		return nil
	}
	return s.Client.Insert(ctx, block, token)
}

type silent struct{}

func (silent) MinutesOpen(int)                  {}
func (silent) MinutesSealed(int, time.Duration) {}
func (silent) SealFailed(error)                 {}

// processorTime is what a process has used, from proc(5): utime and stime in
// hundredths of a second, behind the name, which may have spaces in it.
func processorTime(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	must(b, err)
	system, err := strconv.Atoi(fields[12])
	must(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
