package rules

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

const (
	redacted = "[redacted]"
	hashed   = "hmac-sha256:"
)

// hidden is v redacted or hashed. Both done again change nothing, so a dead
// letter whose bytes were hashed already is the same event when it is replayed.
// (A producer may thereby send a hash of its own making; what it can't send is
// something readable.) Redacted text is a word, so that one sees that there was
// something; what is no text goes, since it may be nothing else.
func (r *rule) hidden(h hide, v any) any {
	s, isText := v.(string)
	if !h.hash {
		if isText {
			return redacted
		}
		return nil
	}
	if isText && isHash(s) {
		return v
	}
	if !isText {
		text, err := json.Marshal(v)
		if err != nil {
			return nil
		}
		s = string(text)
	}
	if s == "" {
		return v
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(s))
	return hashed + hex.EncodeToString(mac.Sum(nil))
}

func isHash(s string) bool {
	digits, ok := strings.CutPrefix(s, hashed)
	if !ok || len(digits) != 2*sha256.Size {
		return false
	}
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// hideText is hidden for an attribute of text.
func (r *rule) hideText(h hide, s string) string {
	if s == "" {
		return ""
	}
	out, _ := r.hidden(h, s).(string)
	return out
}

// hideEvent hides in e, and tells whether there was anything to hide.
func (r *rule) hideEvent(h hide, e *said, content any) bool {
	switch h.at[1] {
	case "data":
		data, found := alter(content, h.at[2:], func(v any) any {
			if !h.hash && !plainText(e.Type, h.at[2:]) {
				return nil
			}
			return r.hidden(h, v)
		})
		if found {
			e.data = data
		}
		if len(h.at) == 3 && shared(h.at[2]) && r.hideField(h, e, h.at[2]) {
			found = true
		}
		return found
	case "extensions":
		for _, p := range e.Extensions {
			if p.Key == h.at[2] && p.Value != "" {
				e.extend(p.Key, r.hideText(h, p.Value))
				return true
			}
		}
		return false
	}
	found := r.hideField(h, e, h.at[1])
	if shared(h.at[1]) {
		if data, there := alter(content, path{h.at[1]}, func(v any) any { return r.hidden(h, v) }); there {
			e.data, found = data, true
		}
	}
	return found
}

// shared tells whether a field is one that any event may carry. An event may
// state it as an attribute and in data: whichever of them a rule names, it is hidden
// in both.
func shared(name string) bool {
	return slices.ContainsFunc(event.Shared(), func(f event.Field) bool { return f.Name == name })
}

func (r *rule) hideField(h hide, e *said, name string) bool {
	field := e.field(name)
	before := *field
	*field = r.hideText(h, before)
	return before != ""
}

// plainText tells whether a field of a type may hold any text: where the
// registry wants a time, or one of some words, a redacted one is left out.
func plainText(name string, at path) bool {
	t := event.Lookup(name)
	if t == nil {
		return true
	}
	fields := t.Fields
	for i, key := range at {
		if key == "*" { // of a list of objects
			continue
		}
		n := slices.IndexFunc(fields, func(f event.Field) bool { return f.Name == key })
		if n < 0 {
			return true
		}
		if i == len(at)-1 {
			return fields[n].Kind != event.TimeField && len(fields[n].Allowed) == 0
		}
		fields = fields[n].Fields
	}
	return true
}
