// Package restart_test measures how long a worker needs to know again what it
// knew: from the facts that are stored, a million of them, to a timeline that
// answers. The engine is a process of its own, on the same processors.
//
//	go test ./bench/restart -run '^$' -bench . -benchtime 1x -count 10
package restart_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/bench/generator"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/embedded/engine"
	"github.com/whencehq/whence/processors/timeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

const million = 1_000_000

// TestMain makes this test binary the engine where engine.Start asks for it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		if err := serveEngine(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	for _, clean := range atEnd {
		clean()
	}
	os.Exit(code)
}

var atEnd []func()

func serveEngine(args []string) error {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	data, listen := flags.String("data", "", ""), flags.String("listen", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, parent := engine.WatchParent(context.Background())
	return engine.Run(ctx, engine.Config{Data: *data, Listen: *listen, Ready: parent.Ready})
}

// store is an engine that has a million facts.
type store struct {
	*clickhouse.Client
	engine *engine.Child
}

// stored is the same store for all samples.
var stored = sync.OnceValues(func() (*store, error) {
	folder, err := os.MkdirTemp("", "whence-restart")
	if err != nil {
		return nil, err
	}
	atEnd = append(atEnd, func() { _ = os.RemoveAll(folder) })
	child, err := engine.Start(context.Background(), engine.ChildConfig{Data: filepath.Join(folder, "engine"), Listen: "127.0.0.1:0"})
	if err != nil {
		return nil, err
	}
	atEnd = append([]func(){child.Stop}, atEnd...)
	client, err := clickhouse.Open(context.Background(), clickhouse.Config{URL: "http://" + child.Addr(), InsertTimeout: time.Minute})
	if err != nil {
		return nil, err
	}
	return &store{client, child}, errors.Join(client.Migrate(context.Background(), zap.NewNop()), fill(client))
})

// fill stores facts as the consumer of the context log does, 5,000 at a time,
// and waits until the engine is at rest.
func fill(client *clickhouse.Client) error {
	ctx, block := context.Background(), tables.NewFacts()
	for facts := range generator.New(generator.Organisation(1, million)).Facts(5000) {
		block.Reset()
		for i := range facts {
			block.Append(&facts[i])
		}
		if err := client.Insert(ctx, block, "restart|"+strconv.FormatUint(facts[0].Revision, 10)); err != nil {
			return err
		}
	}
	for merges := 1; merges > 0; <-time.After(100 * time.Millisecond) {
		if err := client.DB().QueryRowContext(ctx, "SELECT toInt64(count()) FROM system.merges").Scan(&merges); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkRestart reports the seconds until all facts are folded, what the
// worker and the engine used of all processors, the bytes that stay and the most
// there were. On a machine that others use too, half of the second and the third
// says more than the first. The part "read" is the same without the fold.
func BenchmarkRestart(b *testing.B) {
	if _, err := engine.FindLibrary(); err != nil {
		b.Skip(err)
	}
	s, err := stored()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) { restart(b, s, false) })
	b.Run("whole", func(b *testing.B) { restart(b, s, true) })
	b.Run("horizon", func(b *testing.B) { restartWithHorizon(b, s) })
}

func (s *store) Facts(ctx context.Context, missing event.Missing, upTo uint64) ([]event.Fact, error) {
	return s.FactsOf(ctx, zap.NewNop(), missing, upTo)
}

// restartWithHorizon lets go of all that is not needed of the last tenth of the
// time, as it loads.
func restartWithHorizon(b *testing.B, s *store) {
	shape := generator.Organisation(1, million)
	var took time.Duration
	var kept, most, facts float64
	for b.Loop() {
		before := liveHeap()
		m, peak := timeline.NewMemory(s), 0.0
		begun := time.Now()
		gc := debug.SetGCPercent(400)
		loading := m.Load(shape.To-(shape.To-shape.From)/10, math.MaxUint64, 1<<17)
		err := s.Snapshot(b.Context(), zap.NewNop(), 0, math.MaxUint64, func(chunk []event.Fact) {
			loading.Fold(chunk)
			peak = max(peak, heap())
		})
		if err = errors.Join(err, loading.Finish(b.Context())); err != nil {
			b.Fatal(err)
		}
		debug.SetGCPercent(gc)
		took += time.Since(begun)
		kept, most, facts = liveHeap()-before, max(most, peak-before), float64(m.Len())
		runtime.KeepAlive(m)
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/start")
	b.ReportMetric(facts, "facts")
	b.ReportMetric(kept/1e6, "MB")
	b.ReportMetric(most/1e6, "MB-peak")
	b.ReportMetric(0, "ns/op")
}

func restart(b *testing.B, s *store, whole bool) {
	var took, used, served time.Duration
	var kept, most float64
	for b.Loop() {
		before := liveHeap()
		tl, facts, peak := timeline.New(), 0, 0.0
		begun, usedBefore, servedBefore := time.Now(), cpu(), cpuOf(b, s.engine.PID())
		gc := debug.SetGCPercent(400) // as a worker does
		err := s.Snapshot(b.Context(), zap.NewNop(), 0, math.MaxUint64, func(chunk []event.Fact) {
			facts += len(chunk)
			if whole {
				tl.Apply(chunk)
			}
			peak = max(peak, heap())
		})
		debug.SetGCPercent(gc)
		took, used, served = took+time.Since(begun), used+cpu()-usedBefore, served+cpuOf(b, s.engine.PID())-servedBefore
		if err != nil || facts < million/2 || whole && tl.Len() < million/2 { // a quarter is of types that no timeline reads
			b.Fatalf("%d facts, %d of them folded, %v", facts, tl.Len(), err)
		}
		kept, most = liveHeap()-before, max(most, peak-before)
		runtime.KeepAlive(tl)
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/start")
	b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s/start")
	b.ReportMetric(served.Seconds()/float64(b.N), "engine-cpu-s/start")
	b.ReportMetric(kept/1e6, "MB")
	b.ReportMetric(most/1e6, "MB-peak")
	b.ReportMetric(0, "ns/op")
}

// cpu is what the process has used of all processors.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf is what another process has used: the 14th and 15th field of
// /proc/PID/stat, in hundredths of a second (proc_pid_stat(5)).
func cpuOf(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip(err) // no Linux
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have spaces
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// heap is the bytes of objects, those that wait to be freed included.
func heap() float64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64())
}

func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	return heap()
}
