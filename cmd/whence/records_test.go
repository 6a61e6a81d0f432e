package main

import (
	"context"
	"strings"

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
