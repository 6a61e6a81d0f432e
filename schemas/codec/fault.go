package codec

import (
	"errors"
	"fmt"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Reason classes faults. The values are those of pipeline.Reason, which
// schemas may not import.
type Reason string

// The reasons.
const (
	Empty       Reason = "empty"
	TooLarge    Reason = "too_large"
	TooDeep     Reason = "too_deep"
	Malformed   Reason = "malformed"
	InvalidUTF8 Reason = "invalid_utf8"
	ContentType Reason = "content_type"
	SpecVersion Reason = "spec_version"
	Missing     Reason = "missing_field"
	WrongType   Reason = "wrong_type"
	Invalid     Reason = "invalid_value"
	Time        Reason = "time"
	UnknownType Reason = "unknown_type"
	Rule        Reason = "rule"
)

// Fault is why a record is no event, with what could be read of it.
type Fault struct {
	Reason Reason
	Detail string // what and where, for a person: `data.service: missing`
	// Empty where nothing could be read. They may alias the record.
	Source, ID, Type string
	Time             event.Millis // 0: unknown
}

func (f *Fault) Error() string { return f.Detail }

// FaultOf returns the fault in err's chain, nil where there is none.
func FaultOf(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}

func fault(reason Reason, format string, args ...any) *Fault {
	return &Fault{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

func missing(path string) *Fault { return fault(Missing, "%s: missing", path) }

func wrongType(path string, want event.FieldKind, got value.Value) *Fault {
	return fault(WrongType, "%s: must be %s, is %s", path, want, describe(got))
}

func unreadContentType(attribute, contentType string) *Fault {
	return fault(ContentType, "%s: %s is not read here", attribute, quote(contentType))
}

// CheckSize holds the bytes of a record, value and headers, against a limit. The
// error is a *Fault.
func CheckSize(bytes, limit int) error {
	if bytes > limit {
		return fault(TooLarge, "the event has %d bytes, %d are allowed", bytes, limit)
	}
	return nil
}

// describe names what was found instead, with scalars as they are.
func describe(v value.Value) string {
	switch k := v.Kind(); k {
	case value.Array, value.Object:
		return "an " + k.String()
	case value.String:
		s, _ := v.Text()
		return "the string " + quote(s)
	case value.Null:
		return "null"
	default:
		return "the " + k.String() + " " + v.JSON()
	}
}

// quote shows at most 80 bytes of s.
func quote(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q...", s[:80])
	}
	return fmt.Sprintf("%q", s)
}

// unreadable turns a parse error into a fault. where says which part it was.
func unreadable(where string, err error) *Fault {
	reason := Malformed
	switch {
	case errors.Is(err, value.ErrTooDeep):
		reason = TooDeep
	case errors.Is(err, value.ErrInvalidUTF8):
		reason = InvalidUTF8
	}
	return fault(reason, "%s: %v", where, err)
}
