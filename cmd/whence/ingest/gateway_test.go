package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/processors/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is what the gateways of these tests have for a clock.
var now = time.Date(2026, 11, 26, 14, 5, 0, 123_000_000, time.UTC)

// broker is a Kafka that keeps what it is sent.
type broker struct {
	mu      sync.Mutex
	sent    []kafka.Message
	failure error         // what it answers with
	held    chan struct{} // not nil: it answers when this is closed
	arrived chan struct{} // not nil: is told of each message
}

func (b *broker) Send(_ context.Context, m kafka.Message, done func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure == nil {
		b.sent = append(b.sent, m)
	}
	failure, held, arrived := b.failure, b.held, b.arrived
	go func() {
		if arrived != nil {
			arrived <- struct{}{}
		}
		if held != nil {
			<-held
		}
		done(failure)
	}()
}

func (b *broker) messages() []kafka.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}

// world is a gateway with what is around it.
type world struct {
	*Gateway
	broker *broker
	test   testing.TB
}

// gatewayWith is a gateway on loopback, with a secret for the sources that sign.
func gatewayWith(t testing.TB, change func(*Options)) *world {
	t.Helper()
	t.Setenv("WHENCE_TEST_SECRET", secret)
	b := &broker{}
	cfg := config.Default()
	o := Options{
		Config: cfg.Ingest, Limits: cfg.Limits, Topics: cfg.Kafka.Topics, Sender: b, Stages: processors.Reading(processors.Dependencies{}),
		Clock: func() time.Time { return now }, Metrics: observe.NewMetrics(), Health: observe.NewHealth(), Log: zap.NewNop(), Loopback: true,
	}
	o.Config.Secrets = map[string]config.Secret{}
	for _, name := range []string{"github", "gitlab", "pagerduty", "sentry", "launchdarkly", "bitbucket", "jira", "grafana", "alertmanager"} {
		o.Config.Secrets[name] = config.Secret{Env: "WHENCE_TEST_SECRET"}
	}
	if change != nil {
		change(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{g, b, t}
}

// readable has every body be an event, for sources that nothing reads here.
func readable(o *Options) { o.Stages = nil }

const secret = "it is a secret"

// post sends a body with headers, name after value, and returns the answer.
func (w *world) post(path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	w.test.Helper()
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, r)
	return answer
}

func (w *world) get(path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer
}

// refuses posts and expects a problem of that status, and nothing in Kafka.
func (w *world) refuses(status int, path string, body []byte, headers ...string) *Problem {
	w.test.Helper()
	before := len(w.broker.messages())
	answer := w.post(path, body, headers...)
	var p Problem
	if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil || answer.Header().Get("Content-Type") != "application/problem+json" {
		w.test.Fatalf("%s: %d %v: %s", path, answer.Code, err, answer.Body)
	}
	if answer.Code != status || p.Status != status {
		w.test.Errorf("%s: status %d, want %d: %s", path, answer.Code, status, answer.Body)
	}
	if p.Title == "" || p.Detail == "" || p.Reason == "" || p.Type != "urn:whence:problem:"+p.Reason || !strings.HasPrefix(path, p.Instance) {
		w.test.Errorf("%s: no whole problem: %s", path, answer.Body)
	}
	if len(w.broker.messages()) != before {
		w.test.Errorf("%s: refused, and written", path)
	}
	return &p
}

// takes posts and returns the records it made.
func (w *world) takes(path string, body []byte, headers ...string) []kafka.Message {
	w.test.Helper()
	before := len(w.broker.messages())
	answer := w.post(path, body, headers...)
	if answer.Code != http.StatusOK {
		w.test.Fatalf("%s: %d: %s", path, answer.Code, answer.Body)
	}
	return w.broker.messages()[before:]
}

func headersOf(m kafka.Message) string {
	var lines []string
	for _, h := range m.Headers {
		lines = append(lines, h.Key+": "+string(h.Value))
	}
	return strings.Join(lines, "\n")
}

const (
	behavior = `{"specversion":"1.0","id":"1","source":"shop","type":"io.whence.behavior.recorded","time":"2026-11-26T14:00:00Z","data":{"name":"checkout","service":"shop","environment":"production"}}`
	push     = `{"ref":"refs/heads/main","repository":{"full_name":"acme/shop","html_url":"https://github.com/acme/shop"}}`
)

func TestAWebhookIsARecordAsItCame(t *testing.T) {
	w := gatewayWith(t, nil)
	sent := w.takes("/hooks/github?environment=staging&service=shop", []byte(push), "Content-Type", "application/json; charset=utf-8",
		"X-GitHub-Event", "push", "X-GitHub-Delivery", "d-1", "X-Request-Start", "1", "Cookie", "c=1",
		"X-Hub-Signature-256", "sha256="+fmt.Sprintf("%x", digest([]byte(secret), []byte(push))))
	if len(sent) != 1 || sent[0].Topic != "whence.delivery" || string(sent[0].Value) != push || len(sent[0].Key) == 0 {
		t.Fatalf("%+v", sent)
	}
	const want = `whence-source: github
content-type: application/json; charset=utf-8
x-github-event: push
x-github-delivery: d-1
whence-received: 2026-11-26T14:05:00.123Z
whence-service: shop
whence-environment: staging`
	if got := headersOf(sent[0]); got != want {
		t.Errorf("headers\n%s\nwant\n%s", got, want)
	}
}

func TestAWebhookAsAFormIsItsPayload(t *testing.T) {
	w := gatewayWith(t, nil)
	body := []byte("payload=" + strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22", ":", "%3A", ",", "%2C", "/", "%2F").Replace(push))
	sent := w.takes("/hooks/github", body, "Content-Type", "application/x-www-form-urlencoded", "X-GitHub-Event", "push",
		"X-Hub-Signature-256", "sha256="+fmt.Sprintf("%x", digest([]byte(secret), body)))
	if string(sent[0].Value) != push || !strings.Contains(headersOf(sent[0]), "content-type: application/json\n") {
		t.Errorf("%s\n%s", sent[0].Value, headersOf(sent[0]))
	}
}

func TestWhatCanNotBeReadIsRefusedWithItsReason(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { o.Config.Secrets = nil; o.Config.InsecureHooks = true })
	for name, tc := range map[string]struct {
		status              int
		path, body          string
		headers             []string
		reason, field, text string
	}{
		"a field that is missing": {400, "/v1/events", strings.Replace(behavior, `"service":"shop",`, "", 1), []string{"Content-Type", "application/cloudevents+json"},
			"missing_field", "data.service", "data.service: missing"},
		"the same in a batch": {400, "/v1/events", "[" + behavior + "," + strings.Replace(behavior, `"service":"shop",`, "", 1) + "]", []string{"Content-Type", batchType},
			"missing_field", "[1].data.service", "[1]: data.service: missing"},
		"no JSON":                       {400, "/v1/events", `{"specversion":`, []string{"Content-Type", cloudEventType}, "malformed", "value", "value: "},
		"a type that is not known":      {400, "/v1/events", strings.Replace(behavior, "behavior.recorded", "behavior", 1), []string{"Content-Type", cloudEventType}, "unknown_type", "type", ""},
		"no body":                       {400, "/v1/events", "", []string{"Content-Type", cloudEventType}, "empty", "", "no value"},
		"a batch that is none":          {400, "/v1/events", behavior, []string{"Content-Type", batchType}, "malformed", "", "no array"},
		"a batch that is null":          {400, "/v1/events", "null", []string{"Content-Type", batchType}, "malformed", "", "no array"},
		"text":                          {415, "/v1/events", behavior, []string{"Content-Type", "text/plain"}, "content_type", "content-type", ""},
		"no content type":               {415, "/v1/events", behavior, nil, "content_type", "content-type", ""},
		"an encoding nobody knows":      {415, "/v1/events", behavior, []string{"Content-Type", cloudEventType, "Content-Encoding", "br"}, "content_encoding", "content-encoding", ""},
		"a body that is not packed":     {400, "/v1/events", behavior, []string{"Content-Type", cloudEventType, "Content-Encoding", "gzip"}, "malformed", "content-encoding", "no gzip"},
		"a content type without an end": {415, "/v1/events", behavior, []string{"Content-Type", cloudEventType + ";" + strings.Repeat("a", 300)}, "content_type", "content-type", ""},
		"an attribute given twice":      {400, "/v1/events", "{}", []string{"Content-Type", "application/json", "Ce-Id", "1", "Ce-Id", "2"}, "header", "ce-id", "given twice"},
		"an attribute that is no UTF-8": {400, "/v1/events", "{}", []string{"Content-Type", "application/json", "Ce-Id", "%ff"}, "header", "ce-id", "UTF-8"},
		"a webhook that is no object":   {400, "/hooks/github", `[]`, []string{"X-GitHub-Event", "push"}, "wrong_type", "", "no JSON object"},
		"a webhook that is null":        {400, "/hooks/github", "\t null", []string{"X-GitHub-Event", "push"}, "wrong_type", "", "no JSON object"},
		"a hint that is misspelt":       {400, "/hooks/github?enviroment=staging", push, []string{"X-GitHub-Event", "push"}, "query", "query.enviroment", "no such parameter"},
		"a hint given twice":            {400, "/hooks/github?service=a&service=b", push, []string{"X-GitHub-Event", "push"}, "query", "query.service", "given twice"},
		"a hint that is cut off":        {400, "/hooks/github?service=%zz", push, []string{"X-GitHub-Event", "push"}, "query", "query", ""},
		"a hint with a line break":      {400, "/hooks/github?service=a%0Ab", push, []string{"X-GitHub-Event", "push"}, "query", "query.service", ""},
		"a query where none is read":    {400, "/v1/events?service=a", behavior, []string{"Content-Type", cloudEventType}, "query", "query.service", ""},
		"a form without a payload":      {400, "/hooks/github", "a=b", []string{"Content-Type", formType}, "malformed", "payload", ""},
		"nesting":                       {400, "/hooks/github", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), nil, "too_deep", "body", ""},
		"a webhook that is too large":   {413, "/hooks/github", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, nil, "too_large", "", "1048576"},
		"an event that is too large":    {413, "/v1/events", strings.Replace(behavior, "checkout", strings.Repeat("x", 1<<20), 1), []string{"Content-Type", cloudEventType}, "too_large", "", ""},
		"a place that is not there":     {404, "/hooks/nothing", "{}", nil, "not_found", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.test = t
			p := w.refuses(tc.status, tc.path, []byte(tc.body), tc.headers...)
			if p.Reason != tc.reason || p.Field != tc.field || !strings.Contains(p.Detail, tc.text) {
				t.Errorf("reason %q field %q: %s", p.Reason, p.Field, p.Detail)
			}
		})
	}
}

func TestOtherMethodsAreNamed(t *testing.T) {
	w := gatewayWith(t, nil)
	for path, want := range map[string]string{"/v1/events": "POST", "/openapi.json": "GET, HEAD"} {
		r := httptest.NewRequest(http.MethodDelete, path, nil)
		answer := httptest.NewRecorder()
		w.ServeHTTP(answer, r)
		if answer.Code != http.StatusMethodNotAllowed || answer.Header().Get("Allow") != want {
			t.Errorf("%s: %d, Allow %q", path, answer.Code, answer.Header().Get("Allow"))
		}
	}
}

func TestAnAnswerOf200MeansThatKafkaHasIt(t *testing.T) {
	w := gatewayWith(t, nil)
	w.broker.held, w.broker.arrived = make(chan struct{}), make(chan struct{})
	answered := make(chan int, 1)
	go func() { answered <- w.post("/v1/events", []byte(behavior), "Content-Type", cloudEventType).Code }()
	<-w.broker.arrived
	select {
	case code := <-answered:
		t.Fatalf("answered with %d before Kafka has", code)
	default:
	}
	close(w.broker.held)
	if code := <-answered; code != http.StatusOK {
		t.Error(code)
	}
	if used := w.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are held after everything", used)
	}
}

func TestWhatKafkaRefusesIsAskedForAgain(t *testing.T) {
	w := gatewayWith(t, nil)
	w.broker.failure = errUnreachable
	answer := w.post("/v1/events", []byte(behavior), "Content-Type", cloudEventType)
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || strings.Contains(answer.Body.String(), "unreachable") {
		t.Errorf("%d %v %s", answer.Code, answer.Header(), answer.Body)
	}
}

func TestWhileKafkaIsAwayItIsSaidInTime(t *testing.T) {
	publisher, err := kafka.OpenPublishing(kafka.Connection{Seeds: []string{"127.0.0.1:1"}},
		Publishing(config.Ingest{Timeouts: config.IngestTimeouts{Kafka: config.Duration(time.Second)}, MaxInFlight: 1 << 20}))
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	w := gatewayWith(t, func(o *Options) { o.Sender = publisher })
	begun := time.Now()
	p := w.refuses(http.StatusServiceUnavailable, "/v1/events", []byte(behavior), "Content-Type", cloudEventType)
	if took := time.Since(begun); p.Reason != reasonUnacknowledged || took > 20*time.Second {
		t.Errorf("after %s: %+v", took, p)
	}
}

func TestUnderBackPressureSendersAreToldToWait(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { o.Config.MaxInFlight = 10_000; o.Config.MaxRequests = 2 })
	w.broker.held, w.broker.arrived = make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	send := func() {
		all.Go(func() { w.post("/v1/events", []byte(behavior), "Content-Type", cloudEventType) })
		<-w.broker.arrived
	}
	send()
	large := []byte(strings.Replace(behavior, "checkout", strings.Repeat("x", 10_000), 1))
	if p := w.refuses(http.StatusTooManyRequests, "/v1/events", large, "Content-Type", cloudEventType); p.Reason != reasonBusy {
		t.Error(p)
	}
	send()
	answer := w.post("/v1/events", []byte(behavior), "Content-Type", cloudEventType)
	if answer.Code != http.StatusTooManyRequests || answer.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
	close(w.broker.held)
	all.Wait()
	w.broker.arrived = nil
	w.takes("/v1/events", []byte(behavior), "Content-Type", cloudEventType)
}

type panicking struct{}

func (panicking) Name() string                                   { return "panics" }
func (panicking) Process(context.Context, *pipeline.Batch) error { panic("no") }

func TestAPanicIsOneRequests(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { o.Stages = []pipeline.Processor{panicking{}} })
	p := w.refuses(http.StatusInternalServerError, "/v1/events", []byte(behavior), "Content-Type", cloudEventType)
	if strings.Contains(p.Detail, "no") && strings.Contains(p.Detail, "panic") {
		t.Errorf("it tells what is inside: %s", p.Detail)
	}
	w.stages = nil
	w.takes("/v1/events", []byte(behavior), "Content-Type", cloudEventType)
	if used, running := w.budget.used.Load(), w.running.Load(); used != 0 || running != 0 {
		t.Errorf("%d bytes and %d requests are left over", used, running)
	}
}

func TestAServerAnswersUntilItIsToldToStop(t *testing.T) {
	w := gatewayWith(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(nil)
	address := "http://" + server.Listener.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx, server.Listener) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/openapi.json": 200, "/": 404} {
		reply, err := client.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(reply.Body)
		reply.Body.Close()
		if reply.StatusCode != want {
			t.Errorf("%s: %s: %s", path, reply.Status, body)
		}
	}
	reply, err := client.Post(address+"/v1/events", cloudEventType, strings.NewReader(behavior))
	if err != nil || reply.StatusCode != 200 {
		t.Fatal(err, reply)
	}
	reply.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTheDefaultTopicsAreThoseOfTheConfiguration(t *testing.T) {
	w := gatewayWith(t, func(o *Options) {
		o.Topics.Prefix = "acme."
		o.Topics.Inputs = []config.Topic{{Name: "all", Partitions: 1}, {Name: "behavior", Partitions: 1}}
	})
	for from, want := range map[string]string{"whence.behavior": "acme.behavior", "whence.audit": "acme.all"} {
		if got := w.topic(from); got != want {
			t.Errorf("%s goes to %s, want %s", from, got, want)
		}
	}
}

func TestASenderIsToldWhatIsWrongWithHisOwnBytesWhateverRulesHide(t *testing.T) {
	set, err := rules.Parse("own.yaml", []byte("rules: [{name: people, redact: [event.data.user]}, {name: bodies, on: record, redact: [body.email]}]"), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	logged, logs := observer.New(zap.DebugLevel)
	w := gatewayWith(t, func(o *Options) {
		o.Stages, o.Log = processors.Asking(processors.Dependencies{Rules: set}), zap.New(logged)
	})
	for _, c := range []struct{ path, body, want string }{
		{"/v1/events", `{"specversion":"1.0","id":"1","type":"io.whence.behavior.recorded","time":"2026-01-01T00:00:00Z","data":{"name":"n","service":"s","environment":"e","user":"ada@example.com"}}`, "source: missing"},
		{"/v1/events", `{"specversion":"1.0","id":"1","source":"s","type":"io.whence.behavior.recorded","time":"ada@example.com","data":{"user":"ada@example.com"}}`, "ada@example.com"},
		{"/findings/trivy", `{"foo":"ada@example.com"}`, "no SchemaVersion: not what trivy writes"},
	} {
		if p := w.refuses(http.StatusBadRequest, c.path, []byte(c.body), "Content-Type", "application/json"); !strings.Contains(p.Detail, c.want) {
			t.Errorf("%s: %s, want %s", c.body, p.Detail, c.want)
		}
	}
	for _, entry := range logs.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "ada@") {
			t.Errorf("the log says %s", text)
		}
	}
}

// TestRulesDoNotChangeWhatKafkaGets: they run again in the worker, on what was sent.
func TestRulesDoNotChangeWhatKafkaGets(t *testing.T) {
	set, err := rules.Parse("own.yaml", []byte(`
rules:
  - {name: teams, on: record, when: '"whence-service" in headers', set: {headers.whence-service: '"team-" + headers["whence-service"]'}}
  - {name: bodies, on: record, redact: [body.commits.*.author, body.context.ip, body.data.user]}
  - {name: people, redact: [event.data.user]}
`), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	needs := processors.Dependencies{Rules: set}
	w := gatewayWith(t, func(o *Options) {
		o.Stages, o.Config.InsecureHooks = processors.Asking(needs), true
		o.Config.Secrets = nil
	})
	pushed := strings.Replace(push, "{", `{ "commits":[{"id":"1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b","author":{"name":"ada"}}],`, 1)
	clicked := strings.Replace(behavior, `"name"`, ` "user":"ada","name"`, 1)
	for _, c := range []struct{ path, body, mark, service string }{
		{"/hooks/github?service=shop", pushed, "push", "service: shop"},
		{"/v1/track?service=shop", ` {"type":"track","event":"e","messageId":"1","userId":"u","timestamp":"2026-11-26T14:00:00Z","context":{"ip":"192.0.2.1"}}`, "", "service: shop"},
		{"/v1/events", clicked, "", ""},
		{"/v1/events", "[" + clicked + "]", "", ""},
	} {
		sent := w.takes(c.path, []byte(c.body), "Content-Type", "application/json", "X-GitHub-Event", c.mark)
		if len(sent) != 1 || string(sent[0].Value) != strings.Trim(c.body, "[]") && string(sent[0].Value) != c.body {
			t.Fatalf("%s\nin Kafka\n%s", c.body, sent[0].Value)
		}
		if !strings.Contains(headersOf(sent[0]), c.service) || strings.Contains(headersOf(sent[0]), "team-") {
			t.Errorf("%s: headers\n%s", c.path, headersOf(sent[0]))
		}
	}
}

// TestWhatARuleMakesIsTheSameOverHTTPAndOverKafka: a record that came through the
// gateway meets the rules once.
func TestWhatARuleMakesIsTheSameOverHTTPAndOverKafka(t *testing.T) {
	set, err := rules.Parse("own.yaml", []byte(`rules: [{name: teams, on: record, set: {headers.whence-service: '"team-" + headers["whence-service"]'}}]`), rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	needs := processors.Dependencies{Rules: set}
	w := gatewayWith(t, func(o *Options) { o.Stages = processors.Asking(needs) })
	sent := w.takes("/v1/track?service=shop", []byte(`{"type":"track","event":"e","messageId":"1","userId":"u","timestamp":"2026-11-26T14:00:00Z"}`), "Content-Type", "application/json")
	b := pipeline.Batch{Topic: sent[0].Topic, Records: []pipeline.Record{{Value: sent[0].Value, Headers: sent[0].Headers}}}
	for _, stage := range processors.Reading(needs) {
		if err := stage.Process(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.Observations) != 1 || b.Observations[0].Service != "team-shop" {
		t.Errorf("%+v, dead %+v", b.Observations, b.Dead)
	}
}
