package pipelinetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// upstream is a server that says what bodies it was sent.
func upstream(t *testing.T) (address string, bodies <-chan string) {
	t.Helper()
	sent := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("a body breaks off: %v", err)
		}
		sent <- string(body)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), sent
}

func post(address, body string) error {
	reply, err := http.Post("http://"+address, "text/plain", strings.NewReader(body))
	if err != nil {
		return err
	}
	return reply.Body.Close()
}

func TestAStatementIsKnownByItsBodyWhichArrivesWhole(t *testing.T) {
	address, bodies := upstream(t)
	g := NewGateway(t, address)
	g.Treat(Statements(Lose, "INSERT INTO some.table ", "INSERT INTO another.table "))
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		body string
		lost bool
	}{
		{"INSERT INTO some.table SELECT '" + long + "'", true},
		{"\n\t\tINSERT INTO another.table SELECT 1", true},
		{"-- What is seldom\n-- said.\nINSERT INTO another.table SELECT 1", true},
		{"INSERT INTO some.table_of_others SELECT '" + long + "'", false},
		{"SELECT 1", false},
		{"", false},
	} {
		if lost := post(g.Addr, c.body) != nil; lost != c.lost {
			t.Errorf("%.40q: its answer is lost: %t, want %t", c.body, lost, c.lost)
		}
		if body := <-bodies; body != c.body {
			t.Errorf("%.40q: %d bytes arrive of %d", c.body, len(body), len(c.body))
		}
	}
	if n := g.Done()[Lose]; n != 3 {
		t.Errorf("%d answers are lost, want 3", n)
	}
}

func TestRowsAreNoStatementWhateverTheyBeginWith(t *testing.T) {
	address, bodies := upstream(t)
	g := NewGateway(t, address)
	g.Treat(Statements(Refuse, "INSERT INTO some.table "))
	const rows = "INSERT INTO some.table is what the first row says"
	if err := post(g.Addr+"/?query=INSERT+INTO+other.table+FORMAT+LineAsString", rows); err != nil {
		t.Fatal(err)
	}
	if body := <-bodies; body != rows {
		t.Errorf("%q arrives", body)
	}
}

func TestAStatementThatIsLateIsCarriedOutWhenItsSenderIsTold(t *testing.T) {
	address, bodies := upstream(t)
	g := NewGateway(t, address)
	g.Treat(Statements(Delay, "INSERT INTO some.table "))
	ended := make(chan error)
	go func() { ended <- post(g.Addr, "INSERT INTO some.table SELECT 1") }()
	Eventually(t, zombieDelay*20, "the statement is held back", func() error {
		if g.Done()[Delay] == 0 {
			return io.EOF
		}
		return nil
	})
	g.Heal()
	if <-ended == nil {
		t.Error("its sender was answered")
	}
	g.AwaitLate()
	select {
	case body := <-bodies:
		if body != "INSERT INTO some.table SELECT 1" {
			t.Errorf("%q arrives", body)
		}
	default:
		t.Error("it never arrived")
	}
}
