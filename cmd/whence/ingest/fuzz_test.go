package ingest

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/whencehq/whence/schemas/scan"
)

// Any body at any endpoint, in any packing, is taken or refused for a reason.
func FuzzAnyBody(f *testing.F) {
	w := gatewayWith(f, func(o *Options) {
		o.Config.Secrets, o.Config.InsecureHooks = nil, true
		o.Config.MaxBody, o.Config.MaxFindings, o.Config.MaxInFlight = 2<<20, 3<<20, 32<<20
		o.Split = scan.Split
	})
	body := protobufOf(f, traces{spans(1, 1, 2, 3)})
	for i := range uint8(len(w.list)) {
		f.Add(i, uint8(0), []byte(push), "push")
		f.Add(i, uint8(1), body, "")
		f.Add(i, uint8(5), gzipped(f, []byte(behavior)), "1.0")
	}
	f.Add(uint8(0), uint8(2), []byte("["+behavior+"]"), "")
	f.Add(uint8(0), uint8(3), []byte(behavior), "%e2%82%ac")
	medias := []string{jsonType, protobufType, batchType, cloudEventType, formType}
	encodings := []string{"", "gzip", "zstd", "deflate"}
	f.Fuzz(func(t *testing.T, place, how uint8, body []byte, word string) {
		e := w.list[int(place)%len(w.list)]
		r := httptest.NewRequest("POST", e.path, bytes.NewReader(body))
		r.Header.Set("Content-Type", medias[int(how)%len(medias)])
		r.Header.Set("Content-Encoding", encodings[int(how)/len(medias)%len(encodings)])
		r.Header.Set("X-GitHub-Event", word)
		if how >= 128 {
			r.Header["Ce-Specversion"], r.Header["Ce-Id"], r.Header["Ce-Type"] = []string{"1.0"}, []string{word}, []string{word}
			r.Header["Ce-Source"], r.Header["Ce-Time"] = []string{"s"}, []string{"2026-11-26T14:00:00Z"}
		}
		before := len(w.broker.messages())
		answer := httptest.NewRecorder()
		w.ServeHTTP(answer, r)
		switch {
		case answer.Code == 200 || answer.Code >= 400 && answer.Code < 500:
		default:
			t.Errorf("%s: %d %s", e.path, answer.Code, answer.Body)
		}
		if answer.Code != 200 && len(w.broker.messages()) != before {
			t.Errorf("%s: %d, and written", e.path, answer.Code)
		}
		if used := w.budget.used.Load(); used != 0 {
			t.Errorf("%s: %d bytes are left over", e.path, used)
		}
		w.broker.mu.Lock()
		w.broker.sent = nil
		w.broker.mu.Unlock()
	})
}
