package decode

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

// message is one request of a tool.
type message struct {
	body    string
	headers []string
}

// life is what a tool sends of one thing from its beginning to its end.
type life struct {
	source   string
	messages []message
	entity   string   // the one id that all facts must have
	facts    []string // type, time and id of each, in the order of their times
}

// factsOf decodes the messages in one batch.
func factsOf(t rapid.TB, from string, messages []message) []event.Fact {
	t.Helper()
	b := &pipeline.Batch{Topic: "whence.incidents"}
	for i, m := range messages {
		one := sent(from, []byte(m.body), m.headers...)
		one.Records[0].Offset = int64(i)
		b.Records = append(b.Records, one.Records[0])
	}
	if err := New(Config{}).Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	for _, d := range b.Dead {
		t.Fatalf("dead letter: %s %s", d.Reason, d.Detail)
	}
	for _, o := range b.Others {
		for _, x := range o.Extensions {
			if x.Key == "unplaced" {
				t.Fatalf("%s: %s", o.Type, x.Value)
			}
		}
	}
	return b.Facts
}

func entityOf(f event.Fact) string {
	var data map[string]any
	if json.Unmarshal([]byte(f.Data), &data) != nil {
		return ""
	}
	id, _ := data[event.Lookup(f.Type).IDField].(string)
	return id
}

// playLife shows that the messages say the facts wanted, and no others, of one
// entity, whatever their order and however often each is delivered: no two
// facts of one identity differ.
func playLife(t *testing.T, l life) {
	t.Helper()
	check := func(t rapid.TB, messages []message) {
		contents := map[string]uint64{}
		var lines []string
		facts := factsOf(t, l.source, messages)
		slices.SortStableFunc(facts, func(a, b event.Fact) int { return int(a.Time - b.Time) })
		for _, f := range facts {
			line := fmt.Sprintf("%s %s %s", strings.TrimPrefix(f.Type, event.Prefix), f.Time.Time().Format("15:04:05"), f.ID)
			before, again := contents[line]
			if again && before != f.Hash {
				t.Errorf("%s: two contents under one identity", line)
			}
			if !again {
				lines = append(lines, line)
			}
			contents[line] = f.Hash
			if id := entityOf(f); id != l.entity {
				t.Errorf("%s is of %q, want %q", line, id, l.entity)
			}
		}
		wanted := slices.Clone(l.facts)
		slices.Sort(wanted)
		slices.Sort(lines)
		if got, want := strings.Join(lines, "\n"), strings.Join(wanted, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", l.source, got, want)
		}
	}
	if check(t, l.messages); t.Failed() {
		return
	}
	rapid.Check(t, func(r *rapid.T) {
		again := rapid.SliceOfN(rapid.SampledFrom(l.messages), 0, 4).Draw(r, "delivered again")
		check(r, rapid.Permutation(append(slices.Clone(l.messages), again...)).Draw(r, "in the order"))
	})
}

// sourcesHere are the sources this file's tools have.
func sourcesHere() []string {
	return []string{"argocd", "argo-rollouts", "flux", "kubernetes", "pagerduty", "opsgenie", "alertmanager", "grafana", "sentry", "launchdarkly", "unleash"}
}

func TestWhatAToolSaysBesidesIsKeptAsItIs(t *testing.T) {
	kinds := map[string]string{
		"argocd": `"app":{}`, "argo-rollouts": `"rollout":{}`, "flux": `"involvedObject":{"kind":"Bucket"}`, "kubernetes": `"type":"BOOKMARK"`,
		"pagerduty": `"event":{"event_type":"pagey.ping"}`, "opsgenie": `"action":"Snooze"`, "alertmanager": `"status":"firing"`, "grafana": `"state":"ok"`,
		"sentry": `"action":"installed"`, "launchdarkly": `"kind":"member"`, "unleash": `"type":"project-created"`,
	}
	for _, from := range sourcesHere() {
		lines := saidBy(t, from, []byte(`{`+kinds[from]+`,"hello":"from a corner of the product nobody maps","n":[1,2,{"deep":null}]}`))
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "kept ") || strings.Contains(lines[0], "unplaced") {
			t.Errorf("%s: %q", from, lines)
		}
	}
}

func TestABodyWithoutWhatMakesItItsSourcesMessageIsADeadLetterThatNamesTheField(t *testing.T) {
	for from, field := range map[string]string{
		"github": "x-github-event", "gitlab": "object_kind", "bitbucket": "x-event-key", "azure-devops": "eventType", "jenkins": "build", "jira": "webhookEvent",
		"argocd": "app", "argo-rollouts": "rollout", "flux": "involvedObject.kind", "kubernetes": "type", "pagerduty": "event.event_type",
		"opsgenie": "action", "alertmanager": "status", "grafana": "status", "sentry": "sentry-hook-resource", "launchdarkly": "kind", "unleash": "type",
		"ocsf": "class_uid", "track": "type",
	} {
		for _, body := range []string{`{}`, `{"foo":1}`, `{"event":{},"userId":"u"}`} {
			if from == "jenkins" || from == "argo-rollouts" { // whose event is a word
				body = strings.Replace(body, `:{}`, `:""`, 1)
			}
			if from == "track" && strings.Contains(body, "event") {
				body = `{"batch":[{"userId":"u"},{"event":""}]}`
			}
			lines := saidBy(t, from, []byte(body))
			if len(lines) != 1 || lines[0] != "dead missing_field "+field+": missing" {
				t.Errorf("%s %s: %q", from, body, lines)
			}
		}
	}
	for _, part := range []string{`[{"class_uid":6003},{}]`, "{\"class_uid\":6003}\n{}"} {
		if lines := saidBy(t, "ocsf", []byte(part)); len(lines) != 1 || !strings.HasPrefix(lines[0], "dead missing_field") {
			t.Errorf("%s: %q", part, lines)
		}
	}
	if lines := saidBy(t, "track", []byte(`{"batch":[{"userId":"u"},{"type":"track","event":"Paid","userId":"u","messageId":"m"}]}`)); len(lines) != 2 || !strings.Contains(lines[1], "kept com.segment.message unplaced=message: no type") {
		t.Errorf("one message of a batch that says nothing: %q", lines)
	}
}

func TestABodyOfAnotherShapeIsADeadLetterWithWhatIsWrong(t *testing.T) {
	for from, body := range map[string]string{
		"pagerduty":     `{"event":"incident.triggered"}`,
		"opsgenie":      `{"action":"Create","alert":[]}`,
		"alertmanager":  `{"alerts":[{"status":"firing","startsAt":"yesterday"}]}`,
		"argocd":        `{"app":"guestbook"}`,
		"argo-rollouts": `{"rollout":"guestbook"}`,
		"kubernetes":    `{"type":"ADDED","object":[]}`,
		"flux":          `{"involvedObject":7}`,
		"unleash":       `[]`,
	} {
		lines := saidBy(t, from, []byte(body))
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "dead ") {
			t.Errorf("%s: %q", from, lines)
		}
	}
}

// fuzzReader throws bodies and header values at a reader: each must give events
// or one dead letter, and nothing of a body that is read may be lost.
func fuzzReader(f *testing.F, from, header string, seeds []message) {
	for _, m := range seeds {
		value := ""
		if len(m.headers) > 1 {
			value = m.headers[1]
		}
		f.Add([]byte(m.body), value)
	}
	f.Add([]byte(`{}`), "")
	f.Add([]byte(`null`), "")
	f.Add([]byte(`[]`), "x")
	if source.Lookup(from) == nil {
		f.Fatal(from)
	}
	decoder := New(Config{})
	decode := func(t *testing.T, body []byte, value string) *pipeline.Batch {
		b := sent(from, body, header, value)
		if err := decoder.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	f.Fuzz(func(t *testing.T, body []byte, value string) {
		b := decode(t, body, value)
		for _, d := range b.Dead {
			if strings.Contains(d.Detail, "which is a bug") {
				t.Fatal(d.Detail)
			}
		}
		facts := len(b.Facts) + len(b.Observations)
		backfilled := header == source.Backfill && value != ""
		if len(b.Dead)+len(b.Others) != 1 && !(backfilled && len(b.Dead)+len(b.Others) == 0 && facts > 0) {
			t.Fatalf("%d dead letters, %d originals and %d facts of one record", len(b.Dead), len(b.Others), facts)
		}
		again := decode(t, body, value)
		for i, fact := range b.Facts {
			if fact.Hash != again.Facts[i].Hash || fact.ID != again.Facts[i].ID {
				t.Fatal("not the same twice")
			}
		}
	})
}
