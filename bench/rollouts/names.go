package rollouts

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// namer makes names that mean nothing, each once.
type namer struct {
	dice
	used map[string]bool
	// How this organisation names versions and instances.
	versions, instances int
}

func newNamer(d dice) *namer {
	return &namer{dice: d, used: map[string]bool{}, versions: d.IntN(3), instances: d.IntN(3)}
}

func (n *namer) once(make func() string) string {
	for {
		if name := make(); !n.used[name] {
			n.used[name] = true
			return name
		}
	}
}

const consonants, vowels = "bdfgklmnprstvz", "aeiou"

func (n *namer) word() string {
	var b strings.Builder
	for range 2 + n.IntN(3) {
		b.WriteByte(consonants[n.IntN(len(consonants))])
		b.WriteByte(vowels[n.IntN(len(vowels))])
	}
	return b.String()
}

func (n *namer) address() string {
	return n.once(func() string { return fmt.Sprintf("10.%d.%d.%d", n.IntN(256), n.IntN(256), 1+n.IntN(254)) })
}

// service names one: a word, two, or rarely an address.
func (n *namer) service() string {
	switch x := n.Float64(); {
	case x < 0.04:
		return n.address()
	case x < 0.4:
		return n.once(func() string { return n.word() + "-" + n.word() })
	default:
		return n.once(n.word)
	}
}

const hexadecimals = "0123456789abcdef"

func (n *namer) hex(digits int) string {
	b := make([]byte, digits)
	for i := range b {
		b[i] = hexadecimals[n.IntN(16)]
	}
	return string(b)
}

// version returns the one before and the new one.
func (n *namer) version() (before, after string) {
	switch n.versions {
	case 0:
		v := 1 + n.IntN(40)
		return fmt.Sprintf("v%d", v), fmt.Sprintf("v%d", v+1)
	case 1:
		minor, patch := n.IntN(20), n.IntN(20)
		return fmt.Sprintf("1.%d.%d", minor, patch), fmt.Sprintf("1.%d.%d", minor, patch+1)
	default:
		return n.hex(7), n.hex(7)
	}
}

// instance names one of a version; without a version its name tells none.
func (n *namer) instance(service, version string) string {
	return n.once(func() string {
		switch {
		case version == "" || n.instances == 0:
			return service + "-" + n.hex(10)
		case n.instances == 1:
			return service + "-" + version + "-" + n.hex(10)
		default: // as a replica set does: one infix a version
			return service + "-" + infix(service+version) + "-" + n.hex(5)
		}
	})
}

// infix stands for a service's version in a name, without saying it.
func infix(of string) string { return fmt.Sprintf("%08x", uint32(xxhash.Sum64String(of))) }
