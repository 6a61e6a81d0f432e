package post

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/schemas/event"
)

// Webhook is a receiver of anybody's own.
type Webhook struct {
	URL    string
	Secret []byte // signs the body; empty: nothing does
	Client *http.Client
}

// Schema of a webhook's document.
const Schema = "whence.notice/1"

// notice is the document. Fields are added; one that goes, or means something
// else, makes another schema.
type notice struct {
	Schema     string        `json:"schema"`
	ID         string        `json:"id"`     // the same message has the same id, when it is sent again too
	Action     string        `json:"action"` // opened, joined, updated, summary, test
	Target     string        `json:"target"`
	Thread     string        `json:"thread"` // what belongs together: an incident and its alerts
	SentAt     string        `json:"sent_at"`
	Effect     *effect       `json:"effect,omitempty"`
	Effects    []effect      `json:"effects,omitempty"` // of a summary
	Ranking    uint64        `json:"ranking,omitempty"`
	ComputedAt string        `json:"computed_at,omitempty"`
	Hypotheses []notify.Link `json:"hypotheses,omitempty"`
	Before     *notify.Link  `json:"before,omitempty"` // that led before, of an update
	Text       string        `json:"text"`             // for people
	Commands   []string      `json:"commands"`
}

type effect struct {
	Kind        string       `json:"kind"`
	ID          string       `json:"id"`
	Title       string       `json:"title"`
	Service     string       `json:"service"`
	Environment string       `json:"environment"`
	Severity    string       `json:"severity"`
	Incident    string       `json:"incident,omitempty"`
	Onset       string       `json:"onset"`
	Detected    string       `json:"detected"`
	Leader      *notify.Link `json:"leader,omitempty"`
}

// Threads is true: the document says what it belongs to.
func (w *Webhook) Threads() bool { return true }

// Send posts the document.
func (w *Webhook) Send(ctx context.Context, m *notify.Message) (string, error) {
	body, err := json.Marshal(document(m))
	if err != nil {
		return "", &notify.Failure{Err: err, Message: true}
	}
	header := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {m.Key}}
	if len(w.Secret) > 0 {
		header.Set("Whence-Signature", Sign(w.Secret, m.At, body))
	}
	_, err = do(ctx, w.Client, w.URL, header, body)
	return "", err
}

// Sign is the header Whence-Signature: t=SECONDS,v1=HEX, the HMAC-SHA-256 of
// SECONDS, a dot and the body. Who checks it should refuse a time long ago, so that
// what was overheard can't be sent again.
func Sign(secret []byte, at event.Millis, body []byte) string {
	seconds := strconv.FormatInt(int64(at)/1000, 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return fmt.Sprintf("t=%s,v1=%s", seconds, hex.EncodeToString(mac.Sum(nil)))
}

func document(m *notify.Message) notice {
	n := notice{
		Schema: Schema, ID: m.Key, Action: m.Action, Target: m.Target, Thread: m.Thread, SentAt: rfc3339(m.At),
		Before: m.Before, Text: m.Text(notify.Plain()), Commands: m.Commands(),
	}
	if r := m.Ranking; r != nil {
		e := effectOf(r)
		n.Effect, n.Ranking, n.ComputedAt, n.Hypotheses = &e, r.Number, rfc3339(r.ComputedAt), r.Links
	}
	for i := range m.Effects {
		e := effectOf(&m.Effects[i])
		e.Leader = &m.Effects[i].Links[0]
		n.Effects = append(n.Effects, e)
	}
	return n
}

func effectOf(r *notify.Ranking) effect {
	return effect{
		Kind: r.Kind, ID: r.ID, Title: r.Title, Service: r.Service, Environment: r.Environment, Severity: r.Severity,
		Incident: r.Incident, Onset: rfc3339(r.Onset), Detected: rfc3339(r.Detected),
	}
}

func rfc3339(at event.Millis) string {
	return time.UnixMilli(int64(at)).UTC().Format("2006-01-02T15:04:05.000Z")
}
