package chaos

import (
	"math"
	"reflect"
	"testing"

	"github.com/whencehq/whence/pipeline/pipelinetest/world"
	"github.com/whencehq/whence/schemas/event"
)

// What said leaves out may be lost and nobody sees it.
func TestSaidHasAllThatAWorldStates(t *testing.T) {
	w := world.New(world.Shape{Seed: 1, Observations: 1 << 40, PerSecond: 400})
	stated := map[string]bool{}
	for n := range uint64(2000) {
		o := w.Observation(n)
		eachField(reflect.ValueOf(&o).Elem(), func(name string, field reflect.Value) {
			if field.IsZero() || field.Kind() == reflect.Float64 && math.IsNaN(field.Float()) {
				return
			}
			stated[name] = true
			with, value := said(&o), reflect.ValueOf(field.Interface())
			if field.SetZero(); said(&o) == with {
				t.Fatalf("observation %d without its %s is the same to the comparison", n, name)
			}
			field.Set(value)
		})
	}
	if len(stated) < 20 {
		t.Errorf("only %v are stated", stated)
	}
}

// eachField visits what an observation may state, the envelope's fields too.
func eachField(of reflect.Value, visit func(name string, field reflect.Value)) {
	for i := range of.NumField() {
		switch field := of.Field(i); field.Interface().(type) {
		case event.Event:
			eachField(field, visit)
		case event.Provenance:
		default:
			visit(of.Type().Field(i).Name, field)
		}
	}
}
