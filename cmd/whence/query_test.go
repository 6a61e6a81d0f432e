package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A broker's port takes a connection and says nothing to HTTP.
func TestAQueryToAPortThatNeverAnswersEndsWithAHint(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := clickHouseFlags{}
	c.url = "http://" + silent.Addr().String()
	err = query{sql: "SELECT 1"}.run(ctx, c, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "is it ClickHouse's HTTP port?") {
		t.Errorf("got %v", err)
	}
}
