package codec

import (
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Payloads reads the payloads of facts that are stored, by the million, when a
// worker starts: into memory that Reset uses again, so that the collector has
// nothing to do for them. The zero Payloads is ready for use, by one goroutine
// at a time.
type Payloads struct {
	doc   value.Doc
	types map[string]*payloadsOf
}

// payloadsOf is the payloads of one type; the first used of them are given out.
type payloadsOf struct {
	made []reader
	used int
}

// HasPayload tells whether facts of a type have one. Of the others the timeline
// needs no data.
func HasPayload(typ string) bool {
	t := event.Lookup(typ)
	return t != nil && !t.Observation && payloadOf(typ) != nil
}

// Read returns what [event.Fact]'s Payload holds for a type and data as JSON, empty
// where there is none. What was accepted once is not checked again: rules may be
// stricter now, and limits lower. The error is a *Fault: somebody else has
// written this.
//
// The payload is lent until Reset. Its strings alias data.
func (p *Payloads) Read(typ string, data []byte) (any, error) {
	of, known := p.types[typ]
	if !known {
		if t := event.Lookup(typ); t == nil || t.Observation {
			return nil, fault(UnknownType, "type: %s is no fact", quote(typ))
		}
		of = p.add(typ)
	}
	into := of.next(typ)
	if into == nil {
		return nil, nil
	}
	if len(data) == 0 {
		return into.payload(), nil
	}
	p.doc.MaxDepth = acceptedDepth
	if err := p.doc.ParseJSON(data); err != nil {
		return nil, unreadable("data", err)
	}
	for key, v := range p.doc.Root().Members() {
		into.read(key, v)
	}
	return into.payload(), nil
}

func (p *Payloads) add(typ string) *payloadsOf {
	if p.types == nil {
		p.types = map[string]*payloadsOf{}
	}
	of := &payloadsOf{}
	p.types[typ] = of
	return of
}

// next returns a payload that nothing was read into, nil for a type without.
func (p *payloadsOf) next(typ string) reader {
	if p.used < len(p.made) {
		next := p.made[p.used]
		p.used++
		next.reset()
		return next
	}
	next := payloadOf(typ)
	if next != nil {
		p.made = append(p.made, next)
		p.used++
	}
	return next
}

// Reset takes back the payloads that Read has lent.
func (p *Payloads) Reset() {
	for _, of := range p.types {
		of.used = 0
	}
}
