package seal_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/processors/seal"
	"github.com/whencehq/whence/schemas/event"
)

// Rows are written, and touched some time later; two sealers look, each in the
// middle of what the other does, pause there for any time, or die. Whatever
// the order, every row that was touched is shown, and none that is not stored.
func TestEveryTouchedRowIsShownWhateverTheSealersDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, c := newStore(), started()
		type worker struct {
			sealer *seal.Sealer
			busy   bool
		}
		var workers [2]worker
		revive := func(w *worker) {
			*w = worker{sealer: seal.New(seal.Config{After: 1}, s, &observer{}, c.Now)}
		}
		for i := range workers {
			revive(&workers[i])
		}
		check := func() {
			for p, said := range s.said {
				if shown := s.shown(p); shown < said || shown > s.stored[p] {
					t.Fatalf("%v shows %d rows, %d of them touched, %d stored", p, shown, said, s.stored[p])
				}
			}
		}
		anywhere := rapid.Custom(func(t *rapid.T) place {
			return rapid.SampledFrom([]place{
				{"shop", event.MinTime}, {"cart", event.MinTime + 60_000}, {"shop", event.MinTime + 3_600_000},
			}).Draw(t, "place")
		})
		depth := 0
		step := func() {
			switch rapid.SampledFrom([]string{"write", "touch", "touch", "die", "look", "look", "look", "look"}).Draw(t, "step") {
			case "write":
				s.stored[anywhere.Draw(t, "place")]++
			case "touch": // of what was written before, or again
				if p := anywhere.Draw(t, "place"); s.stored[p] > 0 {
					s.touch(p, rapid.Uint64Range(1, 3).Draw(t, "touch"))
				}
			case "die":
				if w := &workers[rapid.SampledFrom([]int{0, 1}).Draw(t, "worker")]; !w.busy {
					revive(w)
				}
			case "look":
				w := &workers[rapid.SampledFrom([]int{0, 1}).Draw(t, "worker")]
				if w.busy {
					return
				}
				w.busy = true
				for range rapid.SampledFrom([]int{1, 5}).Draw(t, "looks") {
					c.pass(time.Second)
					if err := w.sealer.Look(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				w.busy = false
			}
			check()
		}
		s.between = func() {
			if depth++; depth < 4 {
				for range rapid.SampledFrom([]int{0, 0, 1, 2, 4, 8}).Draw(t, "meanwhile") {
					step()
				}
			}
			depth--
		}
		for range rapid.IntRange(20, 200).Draw(t, "steps") {
			step()
		}
		// Once it is quiet, everything is sealed.
		s.between = func() {}
		for p := range s.stored {
			s.touch(p, 1)
		}
		revive(&workers[0])
		for range 8 {
			c.pass(time.Second)
			if err := workers[0].sealer.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		check()
		for p, rows := range s.stored {
			if !s.valid(p) || !s.valid(place{"", p.start - p.start%3_600_000}) || s.shown(p) != rows {
				t.Fatalf("%v is not sealed with its %d rows", p, rows)
			}
		}
	})
}
