package acceptance_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/schemas/event"
)

// Every file goes two ways: as the bytes it is, from a producer that knows
// nothing of Whence, and as a line of `whence publish`. Both are one event.
func TestEveryCDEventIsAcceptedAsItIs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(pipelinetest.Shared(t), "cdevents", "*.json"))
	if err != nil || len(files) != 24 {
		t.Fatalf("%d files of CDEvents: %v", len(files), err)
	}
	s := up(t, t.TempDir())
	producer := s.client()
	var asLines []said
	type identity struct{ source, id, kind string }
	distinct := map[identity]string{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		record := &kgo.Record{Topic: event.TopicDelivery, Value: raw}
		if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			t.Fatal(err)
		}
		asLines = append(asLines, said{line: append(line.Bytes(), '\n')})
		var e struct {
			Context struct{ Source, ID, Type string }
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		distinct[identity{e.Context.Source, e.Context.ID, e.Context.Type}] = filepath.Base(name)
	}
	s.publish(file(t, "cdevents.jsonl", asLines))
	s.awaitQuiet()
	s.holdsLaw2()
	if dead := s.ask("SELECT reason, detail FROM whence.dead_letters"); dead != "" {
		t.Errorf("dead letters:\n%s", dead)
	}
	if have := s.ask("SELECT count() FROM whence.events"); have != strconv.Itoa(len(distinct)) {
		t.Errorf("%s events of %d distinct", have, len(distinct))
	}
	if have := s.ask("SELECT count() FROM whence.conflicts FINAL"); have != "0" {
		t.Errorf("%s conflicts: the same event is not the same in both ways", have)
	}
	for e, name := range distinct {
		if s.ask("SELECT count() FROM whence.events WHERE source = '"+e.source+"' AND id = '"+e.id+"'") == "0" {
			t.Errorf("%s is not among the events", name)
		}
	}
	t.Logf("types:\n%s", s.ask("SELECT type, count() FROM whence.events GROUP BY type ORDER BY type"))
	s.stop()
}
