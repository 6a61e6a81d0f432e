package ingest

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/whencehq/whence/pipeline/config"
)

func gzipped(t testing.TB, body []byte) []byte {
	t.Helper()
	return packedBy(t, body, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func packedBy(t testing.TB, body []byte, by func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var out bytes.Buffer
	w := by(&out)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packers(t testing.TB) map[string]func(io.Writer) io.WriteCloser {
	return map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"x-gzip":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	}
}

func TestPackedBodiesAreUnpacked(t *testing.T) {
	w := gatewayWith(t, nil)
	for name, by := range packers(t) {
		for range 2 { // the second with a used reader
			sent := w.takes("/v1/events", packedBy(t, []byte(behavior), by), "Content-Type", cloudEventType, "Content-Encoding", name)
			if string(sent[0].Value) != behavior {
				t.Errorf("%s: %q", name, sent[0].Value)
			}
		}
		whole := packedBy(t, []byte(behavior), by)
		w.refuses(http.StatusBadRequest, "/v1/events", whole[:len(whole)/2], "Content-Type", cloudEventType, "Content-Encoding", name)
		w.refuses(http.StatusBadRequest, "/v1/events", nil, "Content-Type", cloudEventType, "Content-Encoding", name)
	}
}

// 16 MiB of zeros in a few kilobytes are refused for the memory of a few.
func TestABombIsRefusedWhileItIsSmall(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { readable(o); o.Config.MaxBody = 2 << 20 })
	for name, by := range packers(t) {
		var bomb bytes.Buffer
		z := by(&bomb)
		for range 16 {
			if _, err := z.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/hooks/alertmanager", "/v1/events", "/findings/sarif"} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p := w.refuses(http.StatusRequestEntityTooLarge, path, bomb.Bytes(), "Content-Type", jsonType, "Content-Encoding", name, "Authorization", "Bearer "+secret)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
				t.Errorf("%s at %s: %d MB were used", name, path, used>>20)
			}
			if p.Reason != reasonTooLarge {
				t.Error(p)
			}
		}
	}
	if used := w.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are left over", used)
	}
}

func TestABodyThatStopsComingIsGivenUp(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { o.Config.Timeouts.Body = config.Duration(200 * time.Millisecond) })
	server := httptest.NewUnstartedServer(nil)
	address := "http://" + server.Listener.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(t.Context(), server.Listener) }()
	reading, writing := io.Pipe()
	go func() { _, _ = io.WriteString(writing, "{") }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Post(address+"/v1/events", cloudEventType, reading)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(reply.Body)
	reply.Body.Close()
	if reply.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "in time") {
		t.Errorf("%s: %s", reply.Status, body)
	}
	writing.Close()
}

func TestABodyOfUnknownLengthIsReadWhole(t *testing.T) {
	w := gatewayWith(t, readable)
	long := strings.Repeat("x", 300_000)
	r := httptest.NewRequest(http.MethodPost, "/hooks/alertmanager", io.MultiReader(strings.NewReader(`{"a":"`), strings.NewReader(long), strings.NewReader(`"}`)))
	r.ContentLength = -1
	r.Header.Set("Authorization", "Bearer "+secret)
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, r)
	if sent := w.broker.messages(); answer.Code != http.StatusOK || string(sent[0].Value) != `{"a":"`+long+`"}` {
		t.Error(answer.Code, answer.Body)
	}
}
