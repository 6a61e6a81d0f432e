package post_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/processors/notify/post"
)

// slack is a fake of the three methods that are used, with one channel.
type slack struct {
	mu       sync.Mutex
	messages []posted
	fail     string // the error of chat.postMessage
	limited  int    // so many calls are refused with 429
	cut      bool   // the message is taken and the connection ends
}

type posted struct {
	TS       string `json:"ts"`
	ThreadTS string `json:"thread_ts,omitempty"`
	Text     string `json:"text"`
	Metadata any    `json:"metadata"`
}

func (s *slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer xoxb-1" {
		answer(w, map[string]any{"ok": false, "error": "invalid_auth"})
		return
	}
	switch r.URL.Path {
	case "/api/chat.postMessage":
		s.post(w, r)
	case "/api/conversations.history":
		answer(w, map[string]any{"ok": true, "messages": s.in("")})
	case "/api/conversations.replies":
		answer(w, map[string]any{"ok": true, "messages": s.in(r.FormValue("ts"))})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *slack) post(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.limited > 0:
		s.limited--
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case s.fail != "":
		answer(w, map[string]any{"ok": false, "error": s.fail})
		return
	}
	m := posted{TS: fmt.Sprintf("1773316800.%06d", len(s.messages)+1), ThreadTS: r.FormValue("thread_ts"), Text: r.FormValue("text")}
	_ = json.Unmarshal([]byte(r.FormValue("metadata")), &m.Metadata)
	s.messages = append(s.messages, m)
	if s.cut {
		s.cut = false
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
		return
	}
	answer(w, map[string]any{"ok": true, "ts": m.TS, "channel": "C1"})
}

// in are the messages of the channel, or of a thread with its first one.
func (s *slack) in(thread string) []posted {
	var all []posted
	for _, m := range s.messages {
		if m.ThreadTS == thread || m.TS == thread {
			all = append(all, m)
		}
	}
	return all
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (s *slack) chat(t *testing.T) *post.Chat {
	return &post.Chat{API: serve(t, s.ServeHTTP) + "/api/", Token: "xoxb-1", Channel: "C1", Client: client()}
}

func TestAChatKeepsAThreadTogether(t *testing.T) {
	s := &slack{}
	chat := s.chat(t)
	place, err := chat.Send(t.Context(), opened())
	if err != nil || place != "C1/1773316800.000001" {
		t.Fatalf("place %q, %v", place, err)
	}
	second := opened()
	second.Action, second.Place, second.Key = notify.Updated, place, "k2"
	if again, err := chat.Send(t.Context(), second); err != nil || again != place {
		t.Fatalf("place %q, %v", again, err)
	}
	if got := s.messages[1].ThreadTS; got != "1773316800.000001" {
		t.Errorf("in thread %q", got)
	}
	for _, m := range []*notify.Message{opened(), second} {
		if found, there, err := chat.Find(t.Context(), m, time.UnixMilli(noon)); !there || found != place || err != nil {
			t.Errorf("%s: found %v at %q, %v", m.Key, there, found, err)
		}
	}
	if _, there, err := chat.Find(t.Context(), &notify.Message{Key: "k3"}, time.UnixMilli(noon)); there || err != nil {
		t.Errorf("found what was not sent, %v", err)
	}
}

func TestWhatSlackRefusesIsAMessageAtFaultOrWaitsForSomebody(t *testing.T) {
	for what, message := range map[string]bool{"msg_too_long": true, "invalid_auth": false, "channel_not_found": false, "not_in_channel": false} {
		s := &slack{fail: what}
		_, err := s.chat(t).Send(t.Context(), opened())
		if f := failureOf(t, err); f.Message != message || f.Error() != "slack refuses chat.postMessage: "+what {
			t.Errorf("%s: %+v", what, f)
		}
	}
	html := &post.Chat{API: serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }), Client: client()}
	if _, err := html.Send(t.Context(), opened()); !failureOf(t, err).Unsure {
		t.Errorf("a page is taken for an answer: %v", err)
	}
}
