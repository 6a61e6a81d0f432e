package clickhouse

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline"
)

const secret = "p4ss-w0rd"

// insertInto sends a row to a server that answers as said.
func insertInto(t *testing.T, handler http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := Open(t.Context(), Config{URL: server.URL, User: "writer", Password: secret, InsertTimeout: time.Second})
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return client.Insert(t.Context(), observations("any", 1, 0), "the-token")
}

func TestErrorsAreClassedByTheirCode(t *testing.T) {
	for _, c := range []struct {
		name, reply string
		status      int
		header      string
		class       pipeline.Class
		hint        string
	}{
		{"an unknown table", "Code: 60. DB::Exception: Table whence.observations does not exist. (UNKNOWN_TABLE)", 404, "60", pipeline.Fatal, "whence migrate"},
		{"an unknown column", "Code: 16. DB::Exception: No such column. (NO_SUCH_COLUMN_IN_TABLE)", 404, "16", pipeline.Fatal, "whence migrate"},
		{"a wrong password", "Code: 516. DB::Exception: writer: Authentication failed. (AUTHENTICATION_FAILED)", 403, "516", pipeline.Fatal, "password_file"},
		{"a lack of rights", "Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)", 403, "497", pipeline.Fatal, "grant"},
		{"too many parts", "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", 500, "252", pipeline.Retryable, ""},
		{"a lack of memory", "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", 503, "241", pipeline.Retryable, ""},
		{"a code in the header alone", "", 500, "60", pipeline.Fatal, "whence migrate"},
		{"an error after the status was sent", "Code: 60. DB::Exception: gone. (UNKNOWN_TABLE)", 200, "", pipeline.Fatal, "whence migrate"},
		{"a proxy's error", "<html>bad gateway</html>", 502, "", pipeline.Retryable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := insertInto(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					w.Header().Set("X-ClickHouse-Exception-Code", c.header)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.reply)
			})
			if err == nil || pipeline.ClassOf(err) != c.class || !strings.Contains(pipeline.HintOf(err), c.hint) {
				t.Errorf("error %v, class %v, hint %q", err, pipeline.ClassOf(err), pipeline.HintOf(err))
			}
			for _, part := range []string{"whence.observations", "the-token"} {
				if !strings.Contains(fmt.Sprint(err), part) {
					t.Errorf("%v does not name %s", err, part)
				}
			}
		})
	}
}

func TestFewerRowsWrittenThanSentIsAnErrorToRetry(t *testing.T) {
	for summary, ok := range map[string]bool{
		`{"written_rows":"1"}`: true, `{"written_rows":"3"}`: true, // with the rows behind views
		`{"written_rows":"0"}`: false, ``: false, `{}`: false,
	} {
		err := insertInto(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-ClickHouse-Summary", summary) })
		if (err == nil) != ok || (err != nil && pipeline.ClassOf(err) != pipeline.Retryable) {
			t.Errorf("summary %q: %v", summary, err)
		}
	}
}

func TestAServerThatIsAwayIsWorthARetryAndNoErrorTellsThePassword(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	client, err := Open(t.Context(), Config{URL: "http://writer:" + secret + "@" + address})
	must(t, err)
	defer client.Close()
	for _, err := range []error{
		client.Insert(t.Context(), observations("any", 1, 0), "the-token"),
		client.Ping(t.Context()),
	} {
		if err == nil || pipeline.ClassOf(err) != pipeline.Retryable || pipeline.HintOf(err) == "" {
			t.Errorf("error %v, class %v", err, pipeline.ClassOf(err))
		}
		if strings.Contains(fmt.Sprint(err), secret) || strings.Contains(fmt.Sprint(err), "INSERT") {
			t.Errorf("%v says too much", err)
		}
	}
	_, err = Open(t.Context(), Config{URL: "clickhouse:" + secret})
	if err == nil || strings.Contains(err.Error(), secret) || pipeline.ClassOf(err) != pipeline.Fatal {
		t.Errorf("an address that is none: %v", err)
	}
}

func TestAServerThatDoesNotAnswerIsGivenUpOn(t *testing.T) {
	release := make(chan struct{})
	err := insertInto(t, func(http.ResponseWriter, *http.Request) { <-release })
	close(release) // before the server is closed, which waits for its handlers
	if err == nil || pipeline.ClassOf(err) != pipeline.Retryable {
		t.Errorf("error %v", err)
	}
}

func TestThePasswordComesFromItsFileAndTheBodyStatesItsLength(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	var got error
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key := r.Header.Get("X-ClickHouse-Key"); key != secret || r.Header.Get("X-ClickHouse-User") != "default" {
			got = errors.Join(got, fmt.Errorf("password %q", key))
		}
		if r.ContentLength <= 0 {
			got = errors.Join(got, fmt.Errorf("length %d", r.ContentLength))
		}
		if strings.Contains(r.URL.String(), secret) || strings.Contains(r.URL.String(), base64.StdEncoding.EncodeToString([]byte(secret))) {
			got = errors.Join(got, errors.New("the password is in the URL"))
		}
		w.Header().Set("X-ClickHouse-Summary", `{"written_rows":"1"}`)
	}))
	defer server.Close()
	client, err := Open(t.Context(), Config{URL: server.URL, PasswordFile: file})
	must(t, err)
	defer client.Close()
	must(t, client.Insert(t.Context(), observations("any", 1, 0), "the-token"))
	if got != nil {
		t.Error(got)
	}
	if _, err := Open(t.Context(), Config{URL: server.URL, PasswordFile: file + "-missing"}); pipeline.ClassOf(err) != pipeline.Fatal {
		t.Errorf("a missing password file: %v", err)
	}
}
