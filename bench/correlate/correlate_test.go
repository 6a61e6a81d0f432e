// Package correlate measures how long the causes of an incident take, through
// the running pipeline: 10,000 services, 100,000 facts, half an hour of
// measurements of all services; and what a worker costs that has nothing to
// rank.
//
//	go test ./bench/correlate -run '^$' -bench . -benchtime 1x -timeout 30m
package correlate

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/pipelinetest"
)

var (
	services  = flag.Int("services", 10_000, "that exist")
	facts     = flag.Int("facts", 100_000, "that are known, about")
	minutes   = flag.Int("minutes", 30, "of measurements before the first incident, one a service and minute")
	incidents = flag.Int("incidents", 50, "that are opened, one after the other")
)

// BenchmarkAnIncidentIsRanked reports seconds from an incident's being taken by
// Kafka, and from its row's being there, until its causes are there.
func BenchmarkAnIncidentIsRanked(b *testing.B) {
	for b.Loop() {
		w := start(b)
		w.publish(w.catalog)
		w.awaitRows("SELECT count() FROM whence.facts", w.facts)
		w.publish(w.measurements)
		w.awaitRows("SELECT count() FROM whence.observations", w.rows)
		w.report("idle-cpu-ms/s", 1000*w.idle(20*time.Second).Seconds()/20)

		var fromKafka, fromRow []float64
		for i := range *incidents {
			kafka, row := w.incident(i)
			fromKafka, fromRow = append(fromKafka, kafka.Seconds()), append(fromRow, row.Seconds())
		}
		w.report("s-from-kafka-p50", quantile(fromKafka, 0.5))
		w.report("s-from-kafka-p99", quantile(fromKafka, 0.99))
		w.report("s-from-row-p50", quantile(fromRow, 0.5))
		w.report("s-from-row-p99", quantile(fromRow, 0.99))
		w.up.Kill()
	}
	b.ReportMetric(0, "ns/op")
}

// world is a running pipeline and what is told to it.
type world struct {
	b           *testing.B
	up          *pipelinetest.Process
	kafka       string
	client      *clickhouse.Client
	random      *rand.Rand
	now         time.Time
	out         *bufio.Writer
	facts, rows int
}

func start(b *testing.B) *world {
	up := pipelinetest.Run(b, nil, "up", "--data", b.TempDir(), "--listen-kafka", "127.0.0.1:0",
		"--listen-clickhouse", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0")
	line := up.AwaitLine("ready", 2*time.Minute)
	word := func(after string) string {
		_, rest, _ := strings.Cut(line, after+" ")
		value, _, _ := strings.Cut(rest, ",")
		return value
	}
	client, err := clickhouse.Open(b.Context(), clickhouse.Config{URL: word("clickhouse")})
	must(b, err)
	b.Cleanup(func() { client.Close() })
	return &world{b: b, up: up, kafka: word("kafka"), client: client, random: rand.New(rand.NewPCG(1, 1)), now: time.Now().UTC()}
}

func (w *world) report(unit string, value float64) { w.b.ReportMetric(value, unit) }

// publish sends what say says.
func (w *world) publish(say func()) {
	w.b.Helper()
	file, err := os.Create(filepath.Join(w.b.TempDir(), "events.jsonl"))
	must(w.b, err)
	w.out = bufio.NewWriter(file)
	say()
	must(w.b, w.out.Flush())
	must(w.b, file.Close())
	p := pipelinetest.Run(w.b, nil, "publish", "--kafka", w.kafka, file.Name())
	p.AwaitLine("published", 10*time.Minute)
}

type data map[string]any

func (w *world) say(kind, id string, at time.Time, d data) {
	line, err := json.Marshal(data{
		"specversion": "1.0", "id": id, "source": "bench", "type": "io.whence." + kind, "time": at.Format(time.RFC3339Nano), "data": d,
	})
	must(w.b, err)
	_, err = w.out.Write(append(line, '\n'))
	must(w.b, err)
}

func (w *world) fact(kind, id string, at time.Time, d data) {
	w.facts++
	w.say(kind, id, at, d)
}

func service(i int) string { return fmt.Sprintf("service-%05d", i) }

// callees of a service: some of those after it, so that a call goes a long way.
func callees(i int) (all []string) {
	for _, step := range []int{1 + i%7, 11 + i%13, 101 + i%97} {
		if i+step < *services {
			all = append(all, service(i+step))
		}
	}
	return all
}

// catalog is all facts: services, and thirty days of deployments with their
// changes, and flags.
func (w *world) catalog() {
	const month = 30 * 24 * time.Hour
	begin := w.now.Add(-month)
	for i := range *services {
		w.fact("service.declared", service(i), begin, data{"service": service(i), "owner": "team", "depends_on": callees(i)})
	}
	for i := 0; w.facts < *facts; i++ {
		at := begin.Add(time.Duration(w.random.Int64N(int64(month - 2*time.Minute))))
		name, revision, id := service(w.random.IntN(*services)), fmt.Sprint("r", i), fmt.Sprint("d", i)
		deployment := data{"deployment_id": id, "service": name, "environment": "production", "version": revision, "revisions": []string{revision}}
		with := func(more data) data {
			all := data{}
			for _, d := range []data{deployment, more} {
				for key, value := range d {
					all[key] = value
				}
			}
			return all
		}
		w.fact("change.merged", "c"+id, at.Add(-time.Minute), data{
			"change_id": "c" + id, "repository": name, "revision": revision, "merged_at": at.Format(time.RFC3339), "title": "a change", "size": 10,
		})
		w.fact("deployment.started", id+"/0", at, with(data{"percent": 0}))
		w.fact("deployment.progressed", id+"/1", at.Add(time.Minute), with(data{"percent": 50, "instances_added": []string{name + "-1"}}))
		if i%50 > 0 { // some never end
			w.fact("deployment.finished", id+"/2", at.Add(2*time.Minute), with(data{"outcome": "success"}))
		}
		if i%10 == 0 {
			w.fact("flag.changed", id+"/f", at, data{"flag": fmt.Sprint("flag-", i%500), "environment": "production", "rules": data{"on": i % 100}})
		}
	}
}

// measurements are of each service as the callee of another, one a minute.
func (w *world) measurements() {
	for m := range *minutes {
		at := w.now.Add(time.Duration(m-*minutes) * time.Minute)
		for i := range *services {
			for _, callee := range callees(i)[:min(1, len(callees(i)))] {
				w.rows++
				w.say("service.measured", fmt.Sprint(i, "/", m), at, data{
					"service": callee, "environment": "production", "instance": callee + "-0", "caller": service(i), "callee": callee,
					"interval_ms": 60000, "requests": 100, "errors": w.random.IntN(3), "latency_ms": 20 + w.random.Float64(),
				})
			}
		}
	}
}

func (w *world) ask(question string) (n int) {
	var value int64
	must(w.b, w.client.DB().QueryRowContext(w.b.Context(), question).Scan(&value))
	return int(value)
}

func (w *world) awaitRows(question string, n int) {
	w.b.Helper()
	pipelinetest.Eventually(w.b, 10*time.Minute, question, func() error {
		if have := w.ask("SELECT toInt64((" + question + "))"); have < n {
			return fmt.Errorf("%d of %d", have, n)
		}
		return nil
	})
}

// incident opens one and waits until it is ranked.
func (w *world) incident(i int) (fromKafka, fromRow time.Duration) {
	id, now := fmt.Sprint("i", i), time.Now().UTC()
	w.publish(func() {
		w.say("incident.opened", id, now, data{
			"incident_id": id, "service": service(w.random.IntN(*services)), "environment": "production", "severity": "high",
			"started_at": now.Add(-time.Minute).Format(time.RFC3339),
		})
	})
	begun, stored := time.Now(), time.Time{}
	for {
		if stored.IsZero() && w.ask("SELECT toInt64(count()) FROM whence.incidents WHERE incident_id = '"+id+"'") > 0 {
			stored = time.Now()
		}
		if !stored.IsZero() && w.ask("SELECT toInt64(count()) FROM whence_state.rankings WHERE effect_kind = 'incident' AND effect_id = '"+id+"'") > 0 {
			return time.Since(begun), time.Since(stored)
		}
		if time.Since(begun) > time.Minute {
			w.b.Fatalf("%s is not ranked within a minute", id)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// idle is the processor time that the pipeline and its engine use in a while.
func (w *world) idle(while time.Duration) time.Duration {
	<-time.After(15 * time.Second) // merges and seals
	before := w.used()
	<-time.After(while)
	return w.used() - before
}

func (w *world) used() (total time.Duration) {
	children, err := exec.CommandContext(context.Background(), "pgrep", "-P", strconv.Itoa(w.up.Pid())).Output()
	must(w.b, err)
	for _, pid := range append(strings.Fields(string(children)), strconv.Itoa(w.up.Pid())) {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		must(w.b, err)
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, field := range fields[11:13] { // utime and stime, proc(5)
			ticks, err := strconv.Atoi(field)
			must(w.b, err)
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total
}

func quantile(all []float64, q float64) float64 {
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
