package ingest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whencehq/whence/pipeline/config"
)

func hexOf(parts ...string) string {
	var all [][]byte
	for _, p := range parts {
		all = append(all, []byte(p))
	}
	return fmt.Sprintf("%x", digest([]byte(secret), all...))
}

// Each case is a source and the headers of requests; good ones are taken, bad
// ones are not.
func TestEachToolIsKnownByItsSignature(t *testing.T) {
	const body = `{"a":1}`
	stamp := strconv.FormatInt(now.Unix(), 10)
	old := strconv.FormatInt(now.Add(-6*time.Minute).Unix(), 10)
	standard := func(at string) string {
		return "v1," + base64.StdEncoding.EncodeToString(digest([]byte(secret), []byte("msg_1."+at+"."+body)))
	}
	w := gatewayWith(t, readable)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("whence:"+secret))
	for name, tc := range map[string]struct {
		path    string
		good    bool
		headers []string
	}{
		"github":                          {"/hooks/github", true, []string{"X-Hub-Signature-256", "sha256=" + hexOf(body)}},
		"github, of another body":         {"/hooks/github", false, []string{"X-Hub-Signature-256", "sha256=" + hexOf(body+" ")}},
		"github, cut short":               {"/hooks/github", false, []string{"X-Hub-Signature-256", "sha256=" + hexOf(body)[:10]}},
		"github, SHA-1 only":              {"/hooks/github", false, []string{"X-Hub-Signature", "sha1=" + hexOf(body)}},
		"github, unsigned":                {"/hooks/github", false, nil},
		"github, a token instead":         {"/hooks/github", false, []string{"Authorization", "Bearer " + secret}},
		"github, a token in the query":    {"/hooks/github?token=" + strings.ReplaceAll(secret, " ", "+"), false, []string{"X-Hub-Signature-256", "sha256=" + hexOf(body)}},
		"gitlab, its token":               {"/hooks/gitlab", true, []string{"X-Gitlab-Token", secret}},
		"gitlab, another token":           {"/hooks/gitlab", false, []string{"X-Gitlab-Token", secret + "x"}},
		"gitlab, signed":                  {"/hooks/gitlab", true, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", stamp, "Webhook-Signature", "v1,AAAA " + standard(stamp)}},
		"gitlab, signed long ago":         {"/hooks/gitlab", false, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", old, "Webhook-Signature", standard(old)}},
		"gitlab, another message's":       {"/hooks/gitlab", false, []string{"Webhook-Id", "msg_2", "Webhook-Timestamp", stamp, "Webhook-Signature", standard(stamp)}},
		"pagerduty":                       {"/hooks/pagerduty", true, []string{"X-PagerDuty-Signature", "v1=" + hexOf(body)}},
		"pagerduty, one of two":           {"/hooks/pagerduty", true, []string{"X-PagerDuty-Signature", "v1=" + hexOf("x") + ", v1=" + hexOf(body)}},
		"pagerduty, another version":      {"/hooks/pagerduty", false, []string{"X-PagerDuty-Signature", "v2=" + hexOf(body)}},
		"sentry":                          {"/hooks/sentry", true, []string{"Sentry-Hook-Signature", hexOf(body)}},
		"sentry, wrong":                   {"/hooks/sentry", false, []string{"Sentry-Hook-Signature", hexOf(body, "x")}},
		"launchdarkly":                    {"/hooks/launchdarkly", true, []string{"X-LD-Signature", hexOf(body)}},
		"bitbucket":                       {"/hooks/bitbucket", true, []string{"X-Hub-Signature", "sha256=" + hexOf(body)}},
		"jira of one's own, with a token": {"/hooks/jira", true, []string{"Authorization", "Bearer " + secret}},
		"jira, wrong, and a good token":   {"/hooks/jira", false, []string{"X-Hub-Signature", "sha256=" + hexOf("x"), "Authorization", "Bearer " + secret}},
		"grafana":                         {"/hooks/grafana", true, []string{"X-Grafana-Alerting-Signature", hexOf(body)}},
		"grafana, with its time":          {"/hooks/grafana", true, []string{"X-Grafana-Alerting-Timestamp", stamp, "X-Grafana-Alerting-Signature", hexOf(stamp, ":", body)}},
		"grafana, long ago":               {"/hooks/grafana", false, []string{"X-Grafana-Alerting-Timestamp", old, "X-Grafana-Alerting-Signature", hexOf(old, ":", body)}},
		"grafana, with a password":        {"/hooks/grafana", true, []string{"Authorization", basic}},
		"alertmanager, a bearer token":    {"/hooks/alertmanager", true, []string{"Authorization", "bearer " + secret}},
		"alertmanager, a password":        {"/hooks/alertmanager", true, []string{"Authorization", basic}},
		"alertmanager, a bare header":     {"/hooks/alertmanager", true, []string{"Authorization", secret}},
		"alertmanager, wrong":             {"/hooks/alertmanager", false, []string{"Authorization", "Bearer x"}},
		"alertmanager, nothing":           {"/hooks/alertmanager", false, nil},
		"alertmanager, in the query":      {"/hooks/alertmanager?token=" + strings.ReplaceAll(secret, " ", "+"), true, nil},
		"alertmanager, wrong in it":       {"/hooks/alertmanager?token=x", false, []string{"Authorization", "Bearer " + secret}},
		"a script that signs":             {"/hooks/alertmanager", true, []string{"X-Whence-Timestamp", stamp, "X-Whence-Signature", "v0=" + hexOf("v0:", stamp, ":", body)}},
		"a script, recorded":              {"/hooks/alertmanager", false, []string{"X-Whence-Timestamp", old, "X-Whence-Signature", "v0=" + hexOf("v0:", old, ":", body)}},
		"a script without a time":         {"/hooks/alertmanager", false, []string{"X-Whence-Signature", "v0=" + hexOf("v0::", body)}},
	} {
		t.Run(name, func(t *testing.T) {
			w.test = t
			if tc.good {
				sent := w.takes(tc.path, []byte(body), tc.headers...)
				if len(sent) != 1 || strings.Contains(headersOf(sent[0]), secret) {
					t.Errorf("%+v", sent)
				}
				return
			}
			want := http.StatusUnauthorized
			if strings.HasPrefix(tc.path, "/hooks/github?") {
				want = http.StatusBadRequest // it knows no token
			}
			w.refuses(want, tc.path, []byte(body), tc.headers...)
		})
	}
}

func TestASigningTokenOfStandardWebhooksIsBase64(t *testing.T) {
	t.Setenv("WHENCE_TEST_WHSEC", "whsec_"+base64.StdEncoding.EncodeToString([]byte("key")))
	w := gatewayWith(t, func(o *Options) {
		readable(o)
		o.Config.Secrets["gitlab"] = config.Secret{Env: "WHENCE_TEST_WHSEC"}
	})
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := base64.StdEncoding.EncodeToString(digest([]byte("key"), []byte("m."+stamp+".{}")))
	w.takes("/hooks/gitlab", []byte("{}"), "Webhook-Id", "m", "Webhook-Timestamp", stamp, "Webhook-Signature", "v1,"+mac)
}

func TestWhileASecretIsChangedBothAreGood(t *testing.T) {
	t.Setenv("WHENCE_TEST_TWO", "a new one\n"+secret)
	w := gatewayWith(t, func(o *Options) {
		readable(o)
		o.Config.Secrets["github"] = config.Secret{Env: "WHENCE_TEST_TWO"}
	})
	for _, key := range []string{secret, "a new one"} {
		w.takes("/hooks/github", []byte("{}"), "X-Hub-Signature-256", fmt.Sprintf("sha256=%x", digest([]byte(key), []byte("{}"))))
	}
	w.refuses(http.StatusUnauthorized, "/hooks/github", []byte("{}"), "X-Hub-Signature-256", fmt.Sprintf("sha256=%x", digest([]byte("a new one\n"+secret), []byte("{}"))))
}

func TestASignatureIsOverTheBodyAsItWasSent(t *testing.T) {
	w := gatewayWith(t, readable)
	packed := gzipped(t, []byte(push))
	sent := w.takes("/hooks/github", packed, "Content-Encoding", "gzip", "X-Hub-Signature-256", "sha256="+hexOf(string(packed)))
	if string(sent[0].Value) != push {
		t.Errorf("%q", sent[0].Value)
	}
	w.refuses(http.StatusUnauthorized, "/hooks/github", packed, "Content-Encoding", "gzip", "X-Hub-Signature-256", "sha256="+hexOf(push))
}

func TestWithoutASecretAHookIsClosedUnlessToldOtherwise(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { o.Config.Secrets = nil })
	p := w.refuses(http.StatusForbidden, "/hooks/github", []byte(push), "X-GitHub-Event", "push")
	if p.Reason != reasonNoSecret || !strings.Contains(p.Hint, "ingest.secrets.github") || !strings.Contains(p.Hint, "--insecure-hooks") {
		t.Errorf("%+v", p)
	}
	if got := len(w.Closed()); got != 17 {
		t.Errorf("closed are %v", w.Closed())
	}
	w = gatewayWith(t, func(o *Options) { o.Config.Secrets = nil; o.Config.InsecureHooks = true })
	w.takes("/hooks/github", []byte(push), "X-GitHub-Event", "push")
	if got := w.Closed(); len(got) != 0 {
		t.Errorf("closed are %v", got)
	}
}

func TestWhatNobodySignsForIsOpenOnLoopbackOnly(t *testing.T) {
	event, media := []byte(behavior), []string{"Content-Type", cloudEventType}
	with := func(more ...string) []string { return append(more, media...) }
	loopback := gatewayWith(t, nil)
	loopback.takes("/v1/events", event, media...)
	loopback.refuses(http.StatusForbidden, "/v1/events", event, with("Origin", "https://evil.example")...)

	open := gatewayWith(t, func(o *Options) { o.Loopback = false })
	if p := open.refuses(http.StatusForbidden, "/v1/events", event, media...); !strings.Contains(p.Hint, "ingest.tokens.v1") {
		t.Errorf("%+v", p)
	}
	if p := open.refuses(http.StatusForbidden, "/findings/sarif", []byte("{}"), "Content-Type", "application/json"); !strings.Contains(p.Hint, "ingest.tokens.findings") {
		t.Errorf("%+v", p)
	}
	insecure := gatewayWith(t, func(o *Options) { o.Loopback = false; o.Config.Insecure = true })
	insecure.takes("/v1/events", event, media...)
	if len(insecure.Unguarded()) != 11 {
		t.Error(insecure.Unguarded())
	}

	guarded := gatewayWith(t, func(o *Options) { o.Config.Tokens.V1 = config.Secret{Env: "WHENCE_TEST_SECRET"} })
	if got := guarded.post("/v1/events", event, media...); got.Code != http.StatusUnauthorized || got.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("%d %v", got.Code, got.Header())
	}
	guarded.takes("/v1/events", event, with("Authorization", "Bearer "+secret)...)
	// Segment's clients send their write key as the user.
	guarded.takes("/v1/events", event, with("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(secret+":")))...)
	guarded.refuses(http.StatusUnauthorized, "/v1/events", event, with("Authorization", "Bearer x")...)
}

func TestNoLogLineHasASecret(t *testing.T) {
	core, lines := observer.New(zap.DebugLevel)
	w := gatewayWith(t, func(o *Options) { o.Log = zap.New(core) })
	w.post("/hooks/alertmanager?token=a-wrong-secret", []byte("{}"), "Authorization", "Bearer "+secret)
	w.post("/hooks/github", []byte("{}"), "X-Hub-Signature-256", "sha256=a-wrong-secret", "Authorization", "Bearer "+secret)
	w.post("/hooks/alertmanager?tokens=a-wrong-secret", []byte("{}"), "Authorization", "Bearer "+secret)
	if lines.Len() == 0 {
		t.Fatal("nothing is logged")
	}
	for _, line := range lines.All() {
		if text := fmt.Sprint(line.Message, line.ContextMap()); strings.Contains(text, "a-wrong-secret") || strings.Contains(text, secret) {
			t.Error(text)
		}
		if hint, told := line.ContextMap()["hint"]; told && hint == "" {
			t.Errorf("an empty hint: %s %v", line.Message, line.ContextMap())
		}
	}
}

func TestASecretThatCanNotBeReadIsNamed(t *testing.T) {
	w := gatewayWith(t, nil)
	_, err := newAccess(w.endpoints["/hooks/github"], config.Ingest{Secrets: map[string]config.Secret{"github": {Env: "WHENCE_TEST_ABSENT"}}}, true)
	if err == nil || err.Error() != `ingest.secrets.github: the environment has no "WHENCE_TEST_ABSENT"` {
		t.Error(err)
	}
}
