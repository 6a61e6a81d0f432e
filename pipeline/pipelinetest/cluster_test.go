package pipelinetest

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAClusterTakesRecordsWhileOneNodeIsGone(t *testing.T) {
	c := StartCluster(t, 3, nil)
	if _, err := c.Admin.CreateTopic(t.Context(), 6, 3, nil, "in"); err != nil {
		t.Fatal(err)
	}
	c.AwaitWhole(time.Minute)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds...), kgo.DefaultProduceTopic("in"),
		kgo.ProduceRequestTimeout(3*time.Second), kgo.RequestTimeoutOverhead(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n := 0
	publish := func(when string) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var records []*kgo.Record
		for range 60 {
			records = append(records, &kgo.Record{Value: []byte(when), Key: fmt.Append(nil, n)})
			n++
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		t.Logf("%s: 60 records after %s", when, time.Since(begun).Round(time.Millisecond))
	}
	publish("whole")
	controller, err := c.Controller()
	if err != nil {
		t.Fatal(err)
	}
	controller.Kill()
	publish("the controller is killed")
	controller.Start()
	c.AwaitWhole(time.Minute)
	if err := c.MoveLeaders("in"); err != nil {
		t.Fatal(err)
	}
	publish("leaders have moved")
	c.Nodes[0].Clients.Cut()
	done := make(chan struct{})
	go func() { defer close(done); publish("a link is cut") }()
	<-time.After(time.Second)
	c.Nodes[0].Clients.Mend()
	<-done
	c.Nodes[1].Signal(syscall.SIGSTOP)
	publish("a node stands still")
	c.Nodes[1].Signal(syscall.SIGCONT)
	c.AwaitWhole(time.Minute)
	ends, err := c.Admin.ListEndOffsets(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, end := range ends["in"] {
		sum += int(end.Offset)
	}
	if sum != n {
		t.Errorf("%d records, published %d", sum, n)
	}
}
