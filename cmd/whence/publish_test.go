package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/schemas/codec"
)

func TestALineIsHeldToTheLimitOfARecord(t *testing.T) {
	line := func(data string) string {
		return `{"specversion":"1.0","id":"1","source":"s","type":"com.example","time":"2026-01-01T00:00:00Z","data":` + data + "}\n"
	}
	floats := "[" + strings.TrimSuffix(strings.Repeat("0.5,", 150_000), ",") + "]" // 0.6 MB of JSON, 1.35 MB of msgpack
	for _, c := range []struct {
		data    string
		format  codec.Format
		tooMuch bool
	}{
		{`"` + strings.Repeat("x", 1<<20-1000) + `"`, codec.BinaryMsgpack, false},
		{`"` + strings.Repeat("x", 1<<20-1000) + `"`, codec.StructuredJSON, false},
		{`"` + strings.Repeat("x", 1<<20) + `"`, codec.BinaryMsgpack, true},
		{`"` + strings.Repeat("x", 1<<20) + `"`, codec.StructuredJSON, true},
		{floats, codec.BinaryMsgpack, true},
		{floats, codec.StructuredJSON, false},
	} {
		in, err := openLines("-", strings.NewReader(line(c.data)))
		if err != nil || !in.next() {
			t.Fatal(err)
		}
		checker := newChecker(config.Default().Limits)
		_, _, err = checker.record(in, c.format)
		f := codec.FaultOf(err)
		if (f != nil) != c.tooMuch || f != nil && f.Reason != codec.TooLarge {
			t.Errorf("%.20s... as %d: %v", c.data, c.format, err)
		}
	}
}

// Under the race detector: lines of one file are acknowledged while the next
// one is begun.
func TestComplaintsComeWhileTheNextFileBegins(t *testing.T) {
	p := &publication{stderr: io.Discard, checker: newChecker(config.Default().Limits)}
	if err := p.file(t.Context(), nil, "-", strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	var complaints sync.WaitGroup
	for i := range 4 {
		complaints.Go(func() {
			for line := range 50 {
				p.complain(fmt.Sprint(i), line, errors.New("not acknowledged"))
			}
		})
	}
	for range 50 {
		if err := p.file(t.Context(), nil, "-", strings.NewReader("\n")); err != nil {
			t.Error(err)
		}
	}
	complaints.Wait()
}
