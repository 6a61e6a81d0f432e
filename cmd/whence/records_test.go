package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produces TOPIC FILE [HEADER=VALUE...] writes each line of a file to a topic of
// WHENCE_KAFKA, as it is: what whence publish would not send.
func produces(ts *testscript.TestScript, _ bool, args []string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv(envKafka)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ts.Check(err)
	defer client.Close()
	var headers []kgo.RecordHeader
	for _, h := range args[2:] {
		name, text, _ := strings.Cut(h, "=")
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(text)})
	}
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		record := &kgo.Record{Topic: args[0], Value: []byte(strings.TrimSuffix(line, "\n")), Headers: headers}
		ts.Check(client.ProduceSync(context.Background(), record).FirstErr())
	}
}

// consumes TOPIC N waits for that many records of a topic, and writes their keys,
// values and headers to the script's standard output.
func consumes(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	client, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv(envKafka)), kgo.ConsumeTopics(args[0]))
	ts.Check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for n := 0; n < want; {
		fetches := client.PollFetches(ctx)
		ts.Check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			fmt.Fprintf(ts.Stdout(), "%s %s", r.Key, r.Value)
			for _, h := range r.Headers {
				fmt.Fprintf(ts.Stdout(), " %s=%s", h.Key, h.Value)
			}
			fmt.Fprintln(ts.Stdout())
		})
	}
}
