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
			r.publisher.inject(worldCorrection)
			return r.goesOn(flowing)
		}},
		{name: "two facts that correct the same interval", inject: func(r *round) string {
			r.publisher.inject((*world.World).Corrections)
			return r.goesOn(flowing)
		}},
		{name: "a fact that corrects half of all rows is retracted", inject: func(r *round) string {
			r.publisher.inject(func(w *world.World) { w.Retract(w.Correction()) })
			return r.goesOn(flowing)
		}},
		{name: "all late facts come at once", inject: func(r *round) string {
			facts := 0
			r.publisher.inject(func(w *world.World) { facts = w.Late() })
			return fmt.Sprintf("%d facts", facts)
		}},
	}
}

func worldCorrection(w *world.World) { w.Correction() }
