package acceptance_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/pipeline/pipelinetest"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/schemas/event"
)

// secrets are what senders prove themselves with.
const (
	hookSecret = "a secret of the hook"
	eventToken = "a-token-of-events"
	scanToken  = "a-token-of-scanners"
)

// sending is one recorded payload.
type sending struct {
	file, folder string
	body         []byte
}

// payloads are all recorded ones, at least as many as were there when this was
// written.
func payloads(t *testing.T) []sending {
	t.Helper()
	shared := pipelinetest.Shared(t)
	var all []sending
	for folder, least := range map[string]int{"github": 13, "cdevents": 24, "ocsf": 2} {
		files, err := filepath.Glob(filepath.Join(shared, folder, "*.json"))
		if err != nil || len(files) < least {
			t.Fatalf("%d files in %s, want %d: %v", len(files), folder, least, err)
		}
		for _, name := range files {
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, sending{folder + "/" + filepath.Base(name), folder, body})
		}
	}
	slices.SortFunc(all, func(a, b sending) int { return strings.Compare(a.file, b.file) })
	return all
}

// event is GitHub's header of the file.
func (p sending) event() string {
	name, _, _ := strings.Cut(filepath.Base(p.file), ".")
	return name
}

// post sends a payload to the gateway as its tool does, and returns the status.
func (s *system) post(p sending, secret, token string) int {
	s.t.Helper()
	path := map[string]string{"github": "/hooks/github", "cdevents": "/v1/events", "ocsf": "/findings/ocsf"}[p.folder]
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.ingest+path, bytes.NewReader(p.body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if p.folder == "github" {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(p.body)
		request.Header.Set("X-GitHub-Event", p.event())
		request.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	} else {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode >= 500 {
		s.t.Fatalf("%s: %s: %s: %v", p.file, answer.Status, text, err)
	}
	return answer.StatusCode
}

// overHTTP sends a payload with its tool's proof.
func (s *system) overHTTP(p sending) {
	s.t.Helper()
	if status := s.post(p, hookSecret, map[string]string{"cdevents": eventToken, "ocsf": scanToken}[p.folder]); status != http.StatusOK {
		s.t.Errorf("%s: status %d", p.file, status)
	}
}

// overKafka produces a payload as those do who have it on Kafka already: with
// the tool's own header, where it has one, and no word of Whence.
func (s *system) overKafka(p sending, producer *kgo.Client) {
	s.t.Helper()
	r := &kgo.Record{Topic: event.TopicDelivery, Value: p.body}
	switch p.folder {
	case "github":
		r.Headers = []kgo.RecordHeader{{Key: "X-GitHub-Event", Value: []byte(p.event())}}
	case "ocsf":
		r.Topic = event.TopicAudit
	}
	if err := producer.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// ends are the ends of all input partitions.
func (s *system) ends() map[string]int64 {
	s.t.Helper()
	listed, err := kadm.NewClient(s.client()).ListEndOffsets(s.t.Context(), event.InputTopics()...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ends := map[string]int64{}
	listed.Each(func(end kadm.ListedOffset) { ends[fmt.Sprint(end.Topic, "/", end.Partition)] = end.Offset })
	return ends
}

// became is what one file is: records of Kafka, and the events that they say.
type became struct {
	places int64
	events map[[3]string]bool // source, id, type
}

func (b became) types() string {
	counts := map[string]int{}
	for identity := range b.events {
		counts[strings.TrimPrefix(identity[2], event.Prefix)]++
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(words, ", ")
}

// send sends every payload and says which records each is.
func (s *system) send(all []sending, one func(sending)) map[string]became {
	s.t.Helper()
	fileOf, out := map[string]string{}, map[string]became{}
	before := s.ends()
	for _, p := range all {
		one(p)
		after := s.ends()
		b := became{events: map[[3]string]bool{}}
		for partition, end := range after {
			for offset := before[partition]; offset < end; offset++ {
				fileOf[fmt.Sprint(partition, "/", offset)] = p.file
				b.places++
			}
		}
		if b.places == 0 {
			s.t.Errorf("%s: no record", p.file)
		}
		out[p.file], before = b, after
	}
	s.read(fileOf, out)
	return out
}

// read decodes the records of files as a worker does: two files may say the
// same event, of which the tables have one, so they can't be asked which file
// said what.
func (s *system) read(fileOf map[string]string, out map[string]became) {
	s.t.Helper()
	client := s.client(kgo.ConsumeTopics(event.InputTopics()...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for read := 0; read < len(fileOf); {
		ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
		fetched := client.PollFetches(ctx)
		late := ctx.Err()
		cancel()
		if late != nil {
			s.t.Fatalf("%d of %d records read", read, len(fileOf))
		}
		fetched.EachRecord(func(r *kgo.Record) {
			file, ours := fileOf[fmt.Sprint(r.Topic, "/", r.Partition, "/", r.Offset)]
			if !ours {
				return
			}
			read++
			b := &pipeline.Batch{Topic: r.Topic, Records: []pipeline.Record{{Value: r.Value, Offset: r.Offset, Timestamp: event.MillisOf(r.Timestamp)}}}
			for _, h := range r.Headers {
				b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: h.Key, Value: h.Value})
			}
			for _, stage := range processors.Reading(processors.Dependencies{}) {
				if err := stage.Process(s.t.Context(), b); err != nil {
					s.t.Fatal(err)
				}
			}
			add := func(e event.Event) { out[file].events[[3]string{e.Source, e.ID, e.Type}] = true }
			for i := range b.Facts {
				add(b.Facts[i].Event)
			}
			for i := range b.Observations {
				add(b.Observations[i].Event)
			}
			for i := range b.Others {
				add(b.Others[i].Event)
			}
		})
	}
}

// holds checks that the tables have what the files said and nothing else.
func (s *system) holds(files map[string]became) {
	s.t.Helper()
	if dead := s.ask("SELECT topic, reason, detail FROM whence.dead_letters FINAL"); dead != "" {
		s.t.Errorf("dead letters:\n%s", dead)
	}
	stored := map[[3]string]bool{}
	for row := range strings.Lines(s.ask("SELECT source, id, type FROM whence.events FORMAT TSVRaw") + "\n") {
		columns := strings.Split(strings.TrimSuffix(row, "\n"), "\t")
		identity := [3]string(columns)
		if stored[identity] {
			s.t.Errorf("%v is there twice", identity)
		}
		stored[identity] = true
	}
	said := map[[3]string]bool{}
	for file, b := range files {
		if len(b.events) == 0 {
			s.t.Errorf("%s became nothing", file)
		}
		for identity := range b.events {
			said[identity] = true
			if !stored[identity] {
				s.t.Errorf("%s: %v is not among the events", file, identity)
			}
		}
	}
	for identity := range stored {
		if !said[identity] {
			s.t.Errorf("no file says %v", identity)
		}
	}
}

// accounts checks that each record sent is in the ledger, once: stored, for
// nothing here is dead or dropped.
func (s *system) accounts(sent int64) {
	s.t.Helper()
	s.holdsLaw2()
	all, err := oracle.Accounts(s.t.Context(), s.query)
	if err != nil {
		s.t.Fatal(err)
	}
	var records, stored, lost int64
	for _, a := range all {
		if slices.Contains(event.InputTopics(), a.Topic) {
			records, stored, lost = records+int64(a.Records), stored+int64(a.Stored), lost+int64(a.Dead+a.Dropped)
		}
	}
	if records != sent || stored != sent || lost != 0 {
		s.t.Errorf("%d records sent; the ledger has %d, %d of them stored, %d dead or dropped", sent, records, stored, lost)
	}
}

func recordsOf(files map[string]became) (n int64) {
	for _, b := range files {
		n += b.places
	}
	return n
}

// Everything that tools were recorded to send means the same whichever way it
// comes and however often.
func TestEverySourceMeansTheSameOverHTTPAndOverKafka(t *testing.T) {
	all := payloads(t)
	secrets := t.TempDir()
	config := filepath.Join(secrets, "whence.yaml")
	for name, text := range map[string]string{
		"hook": hookSecret, "v1": eventToken, "findings": scanToken,
		"whence.yaml": fmt.Sprintf("ingest:\n  secrets: {github: {file: %[1]s/hook}}\n  tokens: {v1: {file: %[1]s/v1}, findings: {file: %[1]s/findings}}\n", secrets),
	} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	web, log := up(t, t.TempDir(), "--config", config), up(t, t.TempDir())
	producer := log.client()
	for _, p := range all {
		if status := web.post(p, "another secret", "another-token"); status != http.StatusUnauthorized {
			t.Errorf("%s with a wrong proof: status %d", p.file, status)
		}
	}
	overHTTP := web.send(all, web.overHTTP)
	overKafka := log.send(all, func(p sending) { log.overKafka(p, producer) })
	t.Log("what each file became:\n" + compared(all, overHTTP, overKafka))
	for _, p := range all {
		if !maps.Equal(overHTTP[p.file].events, overKafka[p.file].events) {
			t.Errorf("%s is %s over HTTP and %s over Kafka", p.file, overHTTP[p.file].types(), overKafka[p.file].types())
		}
	}
	for _, one := range []struct {
		s     *system
		files map[string]became
	}{{web, overHTTP}, {log, overKafka}} {
		one.s.awaitQuiet()
		one.s.holds(one.files)
		one.s.accounts(recordsOf(one.files)) // what was refused has left nothing
	}
	once := web.contents()
	sameContents(t, once, log.contents())

	again := web.send(all, web.overHTTP)
	againKafka := log.send(all, func(p sending) { log.overKafka(p, producer) })
	web.awaitQuiet()
	log.awaitQuiet()
	web.accounts(recordsOf(overHTTP) + recordsOf(again))
	log.accounts(recordsOf(overKafka) + recordsOf(againKafka))
	sameContents(t, once, web.contents())
	sameContents(t, once, log.contents())
	if have := web.ask("SELECT count() FROM whence.event_conflicts"); have != "0" {
		t.Errorf("%s conflicts: sent again it is not the same", have)
	}
	web.verifies("over HTTP")
	log.verifies("over Kafka")

	web.keepsBothOfTwoBodies()
	web.stop()
	log.stop()
}

// keepsBothOfTwoBodies has two senders use one id for different things.
func (s *system) keepsBothOfTwoBodies() {
	s.t.Helper()
	for _, said := range []string{
		`{"specversion":"1.0","id":"1","source":"two","type":"com.example.thing","time":"2026-01-01T00:00:00Z","data":{"by":"one"}}`,
		`{"specversion":"1.0","id":"1","source":"two","type":"com.example.thing","time":"2026-01-01T00:00:00Z","data":{"by":"the other"}}`,
		`{"specversion":"1.0","id":"2","source":"two","type":"io.whence.service.declared","time":"2026-01-01T00:00:00Z","data":{"service":"s","owner":"one"}}`,
		`{"specversion":"1.0","id":"2","source":"two","type":"io.whence.service.declared","time":"2026-01-01T00:00:00Z","data":{"service":"s","owner":"the other"}}`,
	} {
		s.overHTTP(sending{"a thing", "cdevents", []byte(said)})
	}
	s.awaitQuiet()
	if have := s.ask("SELECT kind, id, type, contents FROM whence.event_conflicts WHERE source = 'two' ORDER BY id"); have !=
		"other\t1\tcom.example.thing\t2\nfact\t2\tio.whence.service.declared\t2" {
		s.t.Errorf("ids said in two ways:\n%s", have)
	}
	if have := s.ask("SELECT groupArray(data) FROM (SELECT data FROM whence.events WHERE type = 'com.example.thing' ORDER BY data)"); have !=
		`['{"by":"one"}','{"by":"the other"}']` {
		s.t.Errorf("kept is %s", have)
	}
	if have := s.ask("SELECT arraySort([JSONExtractString(kept_data, 'owner'), JSONExtractString(lost_data, 'owner')]) FROM whence.conflicts FINAL WHERE source = 'two'"); have !=
		"['one','the other']" {
		s.t.Errorf("kept is %s", have)
	}
	for _, said := range []string{
		`{"specversion":"1.0","id":"3","source":"two","type":"io.whence.behavior.recorded","time":"2026-01-01T00:00:00Z","data":{"name":"buy","service":"one","environment":"e"}}`,
		`{"specversion":"1.0","id":"3","source":"two","type":"io.whence.behavior.recorded","time":"2026-01-01T00:00:07Z","data":{"name":"buy","service":"the other","environment":"e"}}`,
		`{"specversion":"1.0","id":"4","source":"two","type":"io.whence.behavior.recorded","time":"2026-01-01T00:00:00Z","data":{"name":"buy","service":"s","environment":"e","value":1}}`,
		`{"specversion":"1.0","id":"4","source":"two","type":"io.whence.behavior.recorded","time":"2026-01-01T00:00:00Z","data":{"name":"buy","service":"s","environment":"e","value":2}}`,
	} {
		s.overHTTP(sending{"an observation", "cdevents", []byte(said)})
	}
	s.awaitQuiet()
	if have := s.ask("SELECT id, contents, services, first_time, last_time FROM whence.observation_conflicts(since = '2026-01-01', until = '2026-01-02') WHERE source = 'two'"); have !=
		"3\t2\t['one','the other']\t2026-01-01 00:00:00.000\t2026-01-01 00:00:07.000" {
		s.t.Errorf("ids of observations said in two ways:\n%s", have)
	}
	out, err := s.command("replay", "--check", "--kafka", s.kafka, "--topic", "whence.behavior", "--from", "0")
	outdone := regexp.MustCompile(`(?m)^outdone .*$`).FindAllString(out, -1)
	if err != nil || len(outdone) != 1 || !regexp.MustCompile(`^outdone +whence.behavior/\d+/\d+ +two +4 +2026-01-01T00:00:00Z$`).MatchString(outdone[0]) {
		s.t.Errorf("whence replay --check: %v\n%s", err, out)
	}
}

// compared is a table: a line a file, its records and events each way.
func compared(all []sending, overHTTP, overKafka map[string]became) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FILE\tRECORDS\tEVENTS OVER HTTP\tRECORDS\tEVENTS OVER KAFKA")
	for _, p := range all {
		web, log := overHTTP[p.file], overKafka[p.file]
		same := "the same"
		if web.types() != log.types() {
			same = log.types()
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%s\n", p.file, web.places, web.types(), log.places, same)
	}
	_ = table.Flush() // into a string
	return text.String()
}
