package decode

import (
	"cmp"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/whencehq/whence/schemas/event"
)

func otlpLogsReader() reader {
	return reader{source: "otlp-logs", binary: true, rows: otlpLogsRows(), read: func(p *payload, s *said) error {
		request := plogotlp.NewExportRequest()
		if err := readOTLP(p, s, request); err != nil {
			return err
		}
		origin, when := "", extent{}
		for _, from := range request.Logs().ResourceLogs().All() {
			r := resourceOf(p, from.Resource())
			origin = cmp.Or(origin, r.origin)
			for _, scope := range from.ScopeLogs().All() {
				scope.LogRecords().RemoveIf(func(l plog.LogRecord) bool {
					said := s.logged(r, l)
					when.item(timeOf(l), said)
					return said
				})
			}
		}
		body, err := request.MarshalJSON()
		if err != nil {
			return err
		}
		return s.keepOTLP("io.opentelemetry.logs", origin, when, body)
	}}
}

func timeOf(l plog.LogRecord) event.Millis {
	if l.Timestamp() != 0 {
		return otlpMillis(l.Timestamp())
	}
	return otlpMillis(l.ObservedTimestamp())
}

// logged says a log record that has a type of ours: flags and exceptions. A log
// record has no id, so theirs is a digest of what it says.
func (s *said) logged(r *otlpResource, from plog.LogRecord) bool {
	name := cmp.Or(from.EventName(), statedIn(from.Attributes(), "event.name")) // the older place
	if name != "feature_flag.evaluation" && statedIn(from.Attributes(), "exception.type", "exception.message") == "" {
		return false
	}
	h := happening{resource: r, at: timeOf(from), version: cmp.Or(r.version, r.revision), attributes: from.Attributes(),
		user: statedIn(from.Attributes(), "enduser.id", "user.id"), session: statedIn(from.Attributes(), "session.id")}
	more := func(key, text string) {
		if text != "" {
			h.more = append(h.more, event.Pair{Key: key, Value: validText(text)})
		}
	}
	more("log.body", textOf(from.Body()))
	more("log.severity", from.SeverityText())
	if from.SeverityText() == "" && from.SeverityNumber() != plog.SeverityNumberUnspecified {
		more("log.severity", strings.ToUpper(from.SeverityNumber().String()))
	}
	if trace := from.TraceID(); !trace.IsEmpty() {
		h.trace = hex.EncodeToString(trace[:])
	}
	if span := from.SpanID(); !span.IsEmpty() {
		more("span.id", hex.EncodeToString(span[:]))
	}
	h.id = "log/" + digestOf(logContent(from, &h))
	return s.happened(name, &h)
}

// logContent is what tells a log record from another.
func logContent(from plog.LogRecord, h *happening) []byte {
	var b strings.Builder
	b.WriteString(from.Timestamp().String() + from.ObservedTimestamp().String() + h.trace + from.EventName())
	for _, list := range [][]event.Pair{attributesOf(from.Attributes()), h.more} {
		for _, a := range list {
			b.WriteString("\x00" + a.Key + "\x00" + a.Value)
		}
	}
	return []byte(b.String())
}

func otlpLogsRows() []row {
	return []row{exceptionRow("LogRecord", "log/ and a digest", nil), exposureRow("LogRecord", "log/ and a digest", nil)}
}
