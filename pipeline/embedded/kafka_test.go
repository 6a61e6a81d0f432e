package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/embedded"
)

func start(t *testing.T, data, listen string) *embedded.Kafka {
	t.Helper()
	k, err := embedded.StartKafka(data, listen, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func client(t *testing.T, k *embedded.Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestRecordsOffsetsAndTopicIDsAreThereAtTheNextStart(t *testing.T) {
	data := t.TempDir()
	k := start(t, data, "127.0.0.1:0")
	cl := client(t, k)
	admin := kadm.NewClient(cl)
	made, err := admin.CreateTopic(t.Context(), 1, 1, nil, "in")
	if err != nil {
		t.Fatal(err)
	}
	var records []*kgo.Record
	for i := range 100 {
		records = append(records, &kgo.Record{Topic: "in", Value: fmt.Append(nil, i)})
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: "in", At: 40, LeaderEpoch: -1, Metadata: "intent"})
	if err := admin.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	k = start(t, data, "127.0.0.1:0")
	defer k.Close()
	cl = client(t, k, kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	admin = kadm.NewClient(cl)
	topics, err := admin.ListTopics(t.Context(), "in")
	if err != nil || topics["in"].ID != made.ID {
		t.Errorf("the topic's id is %v, %v; it was %v", topics["in"].ID, err, made.ID)
	}
	kept, err := admin.FetchOffsets(t.Context(), "g")
	if o, ok := kept.Lookup("in", 0); err != nil || !ok || o.At != 40 || o.Metadata != "intent" {
		t.Errorf("the commit reads back as %+v, %v", o, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := 0; n < 100; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%v after %d records of 100", err, n)
		}
		n += fetches.NumRecords()
	}
}

func TestASecondBrokerIsKeptOffTheFolderAndThePort(t *testing.T) {
	data := t.TempDir()
	k := start(t, data, "127.0.0.1:0")
	defer k.Close()
	if _, err := embedded.StartKafka(data, "127.0.0.1:0", zap.NewNop()); err == nil || !strings.Contains(err.Error(), "in use by another whence") {
		t.Errorf("on the same folder: %v", err)
	}
	if _, err := embedded.StartKafka(t.TempDir(), k.Addr(), zap.NewNop()); err == nil || !strings.Contains(err.Error(), k.Addr()) {
		t.Errorf("on the same port: %v", err)
	}
	if _, err := embedded.StartKafka(t.TempDir(), "nowhere", zap.NewNop()); err == nil {
		t.Error("an address without a port is taken")
	}
}
