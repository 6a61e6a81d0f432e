package tables

import "github.com/whencehq/whence/schemas/event"

// Minute is a minute of a service in an environment, with what touched it so
// far. Without a service it is a whole hour.
type Minute struct {
	Service, Environment string
	Start                event.Millis
	// Touch and Rows are sums over the touches: of their hashes, which tells
	// two sets of touches apart, and of the rows written, which only grows.
	Touch, Rows uint64
}

// MinuteOf is the start of the minute that t is in.
func MinuteOf(t event.Millis) event.Millis { return t - t%60_000 }

// HourOf is the start of the hour that t is in.
func HourOf(t event.Millis) event.Millis { return t - t%3_600_000 }

// Touches is rows of whence_state.touches.
type Touches struct {
	block
	service, environment words
	minute               fixed
	touch, written       fixed
}

// NewTouches makes an empty block.
func NewTouches() *Touches {
	c := &Touches{minute: seconds(), touch: unsigned(), written: unsigned()}
	c.table = "whence_state.touches"
	c.columns = []named{
		{"service", &c.service}, {"environment", &c.environment}, {"minute", &c.minute},
		{"touch", &c.touch}, {"rows", &c.written},
	}
	return c
}

// Append adds a touch of a minute, and one of its hour. Both are in one block,
// because an hour must not look closed while a minute of it is open.
func (c *Touches) Append(m *Minute) {
	c.append(m.Service, m.Environment, m.Start, m)
	c.append("", "", HourOf(m.Start), m)
}

func (c *Touches) append(service, environment string, start event.Millis, m *Minute) {
	c.rows++
	c.service.Append(service)
	c.environment.Append(environment)
	c.minute.Append32(uint32(start / 1000))
	c.touch.Append64(m.Touch)
	c.written.Append64(m.Rows)
}
