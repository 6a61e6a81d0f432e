package tables

import "github.com/whencehq/whence/schemas/event"

// Edge is a call between services that was measured in an hour, and who speaks
// of it.
type Edge struct {
	Environment             string
	Hour                    event.Millis // its start
	Caller, Callee, Service string
}

// EdgeOf is what an observation says of who calls whom. It is what the view
// edges_feed makes of its row; of most rows it makes nothing.
func EdgeOf(o *event.Observation) (e Edge, is bool) {
	return Edge{o.Environment, HourOf(o.Time), o.Caller, o.Callee, o.Service}, o.Caller != "" && o.Callee != "" && o.Service != ""
}

// EdgeRows is rows of whence_state.edges.
type EdgeRows struct {
	block
	environment, caller, callee, service words
	hour                                 fixed
}

// NewEdgeRows makes an empty block.
func NewEdgeRows() *EdgeRows {
	c := &EdgeRows{hour: seconds()}
	c.table = "whence_state.edges"
	c.columns = []named{
		{"environment", &c.environment}, {"hour", &c.hour}, {"caller", &c.caller}, {"callee", &c.callee}, {"service", &c.service},
	}
	return c
}

// Append adds an edge.
func (c *EdgeRows) Append(e *Edge) {
	c.rows++
	c.environment.Append(e.Environment)
	c.hour.Append32(uint32(e.Hour / 1000))
	c.caller.Append(e.Caller)
	c.callee.Append(e.Callee)
	c.service.Append(e.Service)
}
