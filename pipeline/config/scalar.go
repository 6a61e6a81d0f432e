package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is written as Go writes it: 500ms, 45s, 840h.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalYAML writes d as UnmarshalYAML reads it.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// UnmarshalYAML reads 45s; a number without a unit is an error.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("want a duration with its unit, like 45s or 840h, have %q", n.Value)
	}
	*d = Duration(v)
	return nil
}

// Bytes is a size: a number, or one with KiB, MiB or GiB.
type Bytes int64

var units = []struct {
	suffix string
	factor float64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func (b Bytes) String() string {
	for _, u := range units {
		if u.factor > 1 && float64(b) >= u.factor && math.Mod(float64(b), u.factor) == 0 {
			return strconv.FormatFloat(float64(b)/u.factor, 'f', -1, 64) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalYAML writes b as UnmarshalYAML reads it.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// UnmarshalYAML reads 1048576 or 1MiB.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error { return b.Set(n.Value) }

// Set reads what UnmarshalYAML does, of a flag.
func (b *Bytes) Set(text string) error {
	for _, u := range units {
		number, found := strings.CutSuffix(text, u.suffix)
		if !found {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || v < 0 || v*u.factor > math.MaxInt64/2 {
			break
		}
		*b = Bytes(v * u.factor)
		return nil
	}
	return fmt.Errorf("want a size in bytes, like 1048576 or 1MiB, have %q", text)
}

// Type names the kind of flag.
func (b *Bytes) Type() string { return "size" }
