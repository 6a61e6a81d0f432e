// Package gateway measures the HTTP gateway, `whence ingest`, before an
// embedded Kafka, with a client that costs next to nothing.
//
//	go test -run '^$' -bench . -count 10 ./bench/gateway
//
// The gateway is in this process, so that -cpuprofile shows what costs; client,
// gateway and Kafka share the machine's cores.
package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/cmd/whence/ingest"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/embedded"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors"
)

// start is the address of a gateway with the settings of whence ingest.
func start(b *testing.B) string {
	b.Helper()
	broker, err := embedded.StartKafka(b.TempDir(), "127.0.0.1:0", zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = broker.Close() })
	cfg := config.Default()
	conn := kafka.Connection{Seeds: []string{broker.Addr()}}
	if _, err := kafka.EnsureTopics(b.Context(), conn, kafka.TopicSpecs(cfg.Kafka.Topics, kafka.Forever), 1); err != nil {
		b.Fatal(err)
	}
	publisher, err := kafka.OpenPublishing(conn, ingest.Publishing(cfg.Ingest))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(publisher.Close)
	g, err := ingest.New(ingest.Options{
		Config: cfg.Ingest, Limits: cfg.Limits, Topics: cfg.Kafka.Topics, Sender: publisher, Stages: processors.Reading(processors.Dependencies{}),
		Clock: time.Now, Metrics: observe.NewMetrics(), Health: observe.NewHealth(), Log: zap.NewNop(), Loopback: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, listener) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return listener.Addr().String()
}

// event is what a shop's frontend would send: 333 bytes.
func event(id int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%016x","source":"https://shop.example/web","type":"io.whence.behavior.recorded","time":"2026-11-26T14:05:00.123Z",`+
		`"data":{"name":"checkout.submitted","service":"shop","environment":"production","user":"u-%06d","session":"s-%08d","version":"4.2.0","ok":true,"duration_ms":142,"attributes":{"currency":"EUR"}}}`,
		id, id%100_000, id)
}

// connection sends requests over one keep-alive connection, one at a time.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader
	buffer bytes.Buffer
}

func connect(b *testing.B, address string) *connection {
	b.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &connection{conn: c, reader: bufio.NewReader(c)}
}

// post sends a body and reads the answer, which must be 200.
func (c *connection) post(media, body string) error {
	c.buffer.Reset()
	fmt.Fprintf(&c.buffer, "POST /v1/events HTTP/1.1\r\nHost: gateway\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", media, len(body))
	c.buffer.WriteString(body)
	if _, err := c.conn.Write(c.buffer.Bytes()); err != nil {
		return err
	}
	status, err := c.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	length := 0
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if text, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(text))); err != nil {
				return err
			}
		}
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(c.reader, answer); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s", answer)
	}
	return nil
}

const (
	one   = "application/cloudevents+json"
	batch = "application/cloudevents-batch+json"
)

// BenchmarkEvents sends as fast as it is acknowledged: each of 256 connections
// waits for its answer. An operation is one event.
func BenchmarkEvents(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run("batch="+strconv.Itoa(size), func(b *testing.B) {
			address := start(b)
			connections := make([]*connection, 256/min(size, 16))
			for i := range connections {
				connections[i] = connect(b, address)
			}
			var next atomic.Int64
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime(b)
			for _, c := range connections {
				all.Go(func() {
					for {
						first := int(next.Add(int64(size))) - size
						if first >= b.N {
							return
						}
						if err := c.post(bodies(first, size)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-µs/event")
		})
	}
}

// processorTime is what this process has used: client, gateway and Kafka. On
// a machine that does something else too it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func bodies(first, size int) (media, body string) {
	if size == 1 {
		return one, event(first)
	}
	var text strings.Builder
	text.WriteByte('[')
	for i := range size {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(event(first + i))
	}
	text.WriteByte(']')
	return batch, text.String()
}

// BenchmarkLatency sends at a steady rate, whether or not answers come, and
// counts from the moment a request was due: a gateway that stalls is not asked
// less. An operation is one event.
func BenchmarkLatency(b *testing.B) {
	for _, load := range []struct{ rate, size int }{{2_000, 1}, {10_000, 1}, {10_000, 10}} {
		b.Run(fmt.Sprintf("rate=%d/batch=%d", load.rate, load.size), func(b *testing.B) {
			address := start(b)
			type due struct {
				at    time.Time
				first int
			}
			schedule := make(chan due, 1<<20)
			var all sync.WaitGroup
			took := make([][]time.Duration, 512)
			for i := range took {
				c := connect(b, address)
				all.Go(func() {
					for d := range schedule {
						if err := c.post(bodies(d.first, load.size)); err != nil {
							b.Error(err)
							return
						}
						took[i] = append(took[i], time.Since(d.at))
					}
				})
			}
			b.ResetTimer()
			begun, interval := time.Now(), time.Second*time.Duration(load.size)/time.Duration(load.rate)
			for n := 0; n < b.N; {
				// Timers are no finer than a millisecond when cores are busy.
				for elapsed := time.Since(begun); n < b.N && time.Duration(n/load.size)*interval <= elapsed; n += load.size {
					schedule <- due{begun.Add(time.Duration(n/load.size) * interval), n}
				}
				<-time.After(time.Millisecond)
			}
			close(schedule)
			all.Wait()
			b.StopTimer()
			sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			for _, q := range []float64{50, 99} {
				b.ReportMetric(sorted[min(int(q/100*float64(len(sorted))), len(sorted)-1)].Seconds()*1000, fmt.Sprintf("p%.0f-ms", q))
			}
		})
	}
}
