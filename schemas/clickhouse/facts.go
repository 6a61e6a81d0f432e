package tables

import "github.com/whencehq/whence/schemas/event"

// Facts is rows of whence.facts. The tables that are indexes of it
// (fact_contents, identities, retractions in whence_state) are filled by
// materialized views in the same INSERT.
type Facts struct {
	block
	envelope             envelope
	service, environment words
	entityKind           words
	entityID, data       text
	revision             fixed
}

// NewFacts makes an empty block.
func NewFacts() *Facts {
	c := &Facts{revision: unsigned()}
	c.table = "whence.facts"
	c.columns = append(c.envelope.columns(), []named{
		{"service", &c.service}, {"environment", &c.environment},
		{"entity_kind", &c.entityKind}, {"entity_id", &c.entityID},
		{"data", &c.data}, {"revision", &c.revision},
	}...)
	return c
}

// Append adds a fact.
func (c *Facts) Append(f *event.Fact) {
	c.rows++
	c.envelope.append(&f.Event, &f.Provenance)
	c.service.Append(f.Service)
	c.environment.Append(f.Environment)
	c.entityKind.Append(f.Kind)
	c.entityID.Append(f.EntityID)
	c.data.Append(f.Data)
	c.revision.Append64(f.Revision)
}

// Others is rows of whence.other_events.
type Others struct {
	block
	envelope envelope
	data     text
}

// NewOthers makes an empty block.
func NewOthers() *Others {
	c := new(Others)
	c.table = "whence.other_events"
	c.columns = append(c.envelope.columns(), named{"data", &c.data})
	return c
}

// Append adds an event.
func (c *Others) Append(o *event.Other) {
	c.rows++
	c.envelope.append(&o.Event, &o.Provenance)
	c.data.Append(o.Data)
}
