package chaos

import (
	"fmt"

	"github.com/whencehq/whence/pipeline/pipelinetest/world"
)

func worldFaults() []*fault {
	return []*fault{
		{name: "bad records of every kind", inject: func(r *round) string {
			r.publisher.inject((*world.World).Burial)
			return r.goesOn(flowing)
		}},
		{name: "facts of the year 2100", inject: func(r *round) string {
			r.publisher.inject((*world.World).Far)
			return r.goesOn(flowing)
		}},
		{name: "a fact that corrects half of all rows", inject: func(r *round) string {
			r.publisher.inject(correction)
			return r.goesOn(flowing)
		}},
		{name: "two facts that correct the same interval", inject: func(r *round) string {
			r.publisher.inject((*world.World).Corrections)
			return r.goesOn(flowing)
		}},
		{name: "a fact that corrects half of all rows is retracted", inject: func(r *round) string {
			id := ""
			r.publisher.inject(func(w *world.World) (said []world.Said) { said, id = w.Correction(); return said })
			seen := r.goesOn(flowing)
			r.publisher.inject(func(w *world.World) []world.Said { return w.Retract(id) })
			return seen + ", " + r.goesOn(flowing)
		}},
		{name: "all late facts come at once", inject: func(r *round) string {
			facts := 0
			r.publisher.inject(func(w *world.World) []world.Said {
				said := w.Late()
				facts = len(said)
				return said
			})
			return fmt.Sprintf("%d facts, %s", facts, r.goesOn(flowing))
		}},
	}
}

func correction(w *world.World) []world.Said {
	said, _ := w.Correction()
	return said
}
