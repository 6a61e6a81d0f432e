package decode

import (
	"strings"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/source"
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
}

// readers are all of them, in the order of the README.
func readers() []reader {
	return []reader{
		githubReader(),
		sarifReader(), ocsfReader(), trivyReader(), grypeReader(), cyclonedxReader(),
	}
}

// foreign finds the reader of a record that is no CloudEvent: by whence-source,
// by a header that only one source sends, by the format configured for its
// topic. Nil where it is none of these: then package codec reads it.
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
		marked = w.formats[topic]
	}
	return w.readers[marked], nil
}
