package tap

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/schemas/event"
)

// Style sets a line off; each may be the identity.
type Style struct{ Time, Kind, Dead, Faint func(string) string }

// Line is p for a person: when, what, of which type, by whom, and what it says.
// What it says is cut so that the line has width characters, 0: not at all.
func Line(p *Passing, s Style, width int) string {
	at, name, who := p.ReceivedAt, "", ""
	if e := p.Event; e != nil && e.Type != "" {
		name, who = strings.TrimPrefix(e.Type, event.Prefix), e.Source+"#"+e.ID
		if e.Time != 0 { // what is dead may state none that can be read
			at = e.Time
		}
	}
	place := fmt.Sprintf("%s/%d/%d", p.Provenance.Topic, p.Partition, p.Offset)
	says, kind := "", s.Kind
	switch p.Kind {
	case Record:
		name, says = place, preview(p)
	case Dead:
		kind, says = s.Dead, p.Detail
		if !strings.HasPrefix(p.Detail, p.Reason+":") { // time: missing
			says = p.Reason + ": " + p.Detail
		}
		who = strings.TrimPrefix(who+" "+place, " ")
	case Dropped:
		kind, name, says = s.Faint, place, "by rule "+p.Rule
	default:
		says = p.Data()
	}
	parts := []string{at.Time().Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf("%-11s", p.Kind), fmt.Sprintf("%-22s", display.Line(name))}
	rest := strings.TrimSpace(display.Line(who) + "  " + display.Line(says))
	if len(p.Context) > 0 {
		text, err := json.Marshal(p.Context)
		if err == nil {
			rest += "  → " + display.Line(string(text))
		}
	}
	if used := utf8.RuneCountInString(strings.Join(parts, " ")) + 1; width > 0 && used+utf8.RuneCountInString(rest) > width {
		rest = string([]rune(rest)[:max(width-used-1, 0)]) + "…"
	}
	return s.Time(parts[0]) + " " + kind(parts[1]) + " " + parts[2] + " " + rest
}

// preview is a record's key, headers and value.
func preview(p *Passing) string {
	var b strings.Builder
	if p.Record.Key != nil {
		fmt.Fprintf(&b, "key=%s ", p.Record.Key)
	}
	for _, h := range p.Record.Headers {
		fmt.Fprintf(&b, "%s=%s ", h.Key, h.Value)
	}
	if utf8.Valid(p.Record.Value) {
		b.Write(p.Record.Value)
	} else {
		fmt.Fprintf(&b, "%d bytes: %x", len(p.Record.Value), p.Record.Value[:min(len(p.Record.Value), 64)])
	}
	return b.String()
}

// JSON is p as one JSON object.
func JSON(p *Passing) ([]byte, error) {
	out := map[string]any{
		"kind": p.Kind, "topic": p.Provenance.Topic, "partition": p.Partition, "offset": p.Offset,
		"received_at": p.ReceivedAt.Time().Format(time.RFC3339Nano),
	}
	set := func(name, text string) {
		if text != "" {
			out[name] = text
		}
	}
	set("reason", p.Reason)
	set("detail", p.Detail)
	set("rule", p.Rule)
	if p.Context != nil {
		out["context"] = p.Context
	}
	if p.Kind == Record {
		headers := map[string]string{}
		for _, h := range p.Record.Headers {
			headers[h.Key] = string(h.Value)
		}
		out["key"], out["value"], out["headers"] = p.Record.Key, p.Record.Value, headers
		return json.Marshal(out)
	}
	e := p.Event
	set("type", e.Type)
	set("source", e.Source)
	set("id", e.ID)
	set("subject", e.Subject)
	set("tenant", e.Tenant)
	set("region", e.Region)
	set("cluster", e.Cluster)
	set("cell", e.Cell)
	set("traceid", e.TraceID)
	set("sequence", e.Sequence)
	if e.Time != 0 {
		out["time"] = e.Time.Time().Format(time.RFC3339Nano)
	}
	if len(e.Extensions) > 0 {
		extensions := map[string]string{}
		for _, x := range e.Extensions {
			extensions[x.Key] = x.Value
		}
		out["extensions"] = extensions
	}
	if data := p.Data(); data != "" {
		out["data"] = json.RawMessage(data)
	}
	return json.Marshal(out)
}
