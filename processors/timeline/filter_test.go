package timeline

import (
	"math/rand/v2"
	"testing"
)

func TestAFilterHasAllThatWasAddedAndLittleElse(t *testing.T) {
	const digests = 10 * firstDigests
	var f filter
	added := rand.New(rand.NewPCG(1, 1))
	for range digests {
		f.add(added.Uint64())
	}
	added = rand.New(rand.NewPCG(1, 1))
	for range digests {
		if d := added.Uint64(); !f.has(d) {
			t.Fatalf("%x was added and isn't there", d)
		}
	}
	mistaken, others := 0, rand.New(rand.NewPCG(2, 2))
	for range digests {
		if f.has(others.Uint64()) {
			mistaken++
		}
	}
	if mistaken > 10 {
		t.Errorf("%d of %d others are there too", mistaken, digests)
	}
	held := 0
	for _, l := range f.layers {
		held += 8 * len(l)
	}
	if held > 8*digests {
		t.Errorf("%d bytes for %d digests", held, digests)
	}
}

func TestAnEmptyFilterHasNothing(t *testing.T) {
	var f filter
	if !f.empty() || f.has(0) || f.has(1) {
		t.Error("an empty filter has something")
	}
}
