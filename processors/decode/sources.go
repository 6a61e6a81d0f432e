package decode

import (
	"strings"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/source"
	"github.com/whencehq/whence/schemas/value"
)

// reader reads the payloads of one source.
type reader struct {
	source string // its name in schemas/source
	// read says what p says. An error is a *codec.Fault, and makes the record a
	// dead letter: only for what can't be read at all. What is read but has no
	// place is kept with said.original.
	read func(p *payload, s *said) error
	rows []row // for the README
	// binary bodies are not JSON: read checks them itself.
	binary bool
	// plain are the members, wherever they are, of which read makes no structures:
	// lists of scalars, JSON that is kept as it is, what it doesn't read. See light.
	plain []string
	// loose bodies may have lists of numbers, which are kept as they are.
	loose bool
}

// readers are all of them, in the order of the README.
func readers() []reader {
	return []reader{
		githubReader(), gitlabReader(), bitbucketReader(), azureReader(), jenkinsReader(), jiraReader(),
		argocdReader(), argoRolloutsReader(), fluxReader(), kubernetesReader(),
		pagerdutyReader(), opsgenieReader(), alertmanagerReader(), grafanaReader(), sentryReader(),
		launchdarklyReader(), unleashReader(),
		sarifReader(), ocsfReader(), trivyReader(), grypeReader(), cyclonedxReader(),
		otlpTracesReader(), otlpMetricsReader(), otlpLogsReader(),
		trackReader(),
	}
}

// foreign finds the reader of a record that is no CloudEvent: by whence-source,
// by a header that only one source sends, by the format configured for its
// topic. (By its shape alone only what no CloudEvent is: see shaped.) Nil where it is none of these: then package codec reads it.
func (w *worker) foreign(topic string, headers []codec.Header) (*reader, error) {
	marked := ""
	for i := range headers {
		key := headers[i].Key
		switch {
		case strings.HasPrefix(key, "ce_"):
			return nil, nil
		case strings.EqualFold(key, source.Header):
			name := string(headers[i].Value)
			if r := w.readers[name]; r != nil {
				return r, nil
			}
			return nil, &codec.Fault{Reason: codec.ContentType, Detail: source.Header + ": nothing reads a source called " + strings.ToValidUTF8(name, "?")}
		case marked == "":
			if s := source.MarkedBy(key); s != nil {
				marked = s.Name
			}
		}
	}
	if marked == "" {
		marked = w.formats[topic].Source
	}
	return w.readers[marked], nil
}

// shaped finds the reader of a payload that nothing but its shape tells.
func (w *worker) shaped(body []byte) *reader {
	if w.doc.ParseJSON(body) != nil {
		return nil
	}
	root := w.doc.Root()
	if root.Kind() != value.Object || root.Field("specversion").Exists() {
		return nil
	}
	for i := range recognisable {
		if r := w.readers[recognisable[i].source]; r != nil && recognisable[i].is(root) {
			return r
		}
	}
	return nil
}

// recognisable is what tells the payloads of a source from everything else, for records
// that nothing else says it of. Each is a form that its specification demands.
var recognisable = []struct {
	source string
	is     func(value.Value) bool
}{
	{"ocsf", func(v value.Value) bool {
		_, whole := v.Field("class_uid").Int()
		_, stated := v.At("metadata", "version").Text()
		return whole && stated
	}},
	{"otlp-traces", func(v value.Value) bool { return v.Field("resourceSpans").Kind() == value.Array }},
	{"otlp-metrics", func(v value.Value) bool { return v.Field("resourceMetrics").Kind() == value.Array }},
	{"otlp-logs", func(v value.Value) bool { return v.Field("resourceLogs").Kind() == value.Array }},
	{"cyclonedx", func(v value.Value) bool { return v.Field("bomFormat").JSON() == `"CycloneDX"` }},
	{"sarif", func(v value.Value) bool {
		version, _ := v.Field("version").Text()
		return v.Field("runs").Kind() == value.Array && strings.HasPrefix(version, "2.")
	}},
}
