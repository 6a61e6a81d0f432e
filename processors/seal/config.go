package seal

import (
	"cmp"
	"fmt"
	"time"
)

// Config says when a minute is sealed.
type Config struct {
	// After is how long nothing may have been written to a minute, 0: 60 s. It
	// should be above the time between two batches of a partition: each batch
	// that comes later makes the minute be computed once more.
	After time.Duration `yaml:"after"`
}

// Every is a good pause between two looks, a third of After: 20 s by default. A
// look costs some 15 ms of the server's time, at an idle system 5.
func (c Config) Every() time.Duration { return c.orDefault() / 3 }

func (c Config) orDefault() time.Duration { return cmp.Or(c.After, time.Minute) }

// Validate names the key that is wrong.
func (c Config) Validate() error {
	if c.After < 0 {
		return fmt.Errorf("seal.after: %s is negative", c.After)
	}
	return nil
}
