package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/processors/reconcile"
	"github.com/whencehq/whence/schemas/event"
)

// table is a world with observations, of which a statement finds so many and no
// more in its time.
type table struct {
	*world
	observations []event.Stale // of one row each
	most         int
	touched      map[int]int // how often each is
}

func (t *table) in(regions []event.Region) (found []int, err error) {
	for i, o := range t.observations {
		if slices.ContainsFunc(regions, func(r event.Region) bool {
			return (r.Services == nil || slices.Contains(r.Services, o.Service)) &&
				(r.AnyEnvironment || r.Environment == o.Environment) && r.From <= o.First && o.First < r.To
		}) {
			found = append(found, i)
		}
	}
	if len(found) > t.most {
		return nil, fmt.Errorf("%d rows: %w", len(found), pipeline.ErrTooLong)
	}
	return found, nil
}

func (t *table) Stale(_ context.Context, regions []event.Region, _ uint64) (stale []event.Stale, err error) {
	found, err := t.in(regions)
	for _, i := range found {
		stale = append(stale, t.observations[i])
	}
	return stale, err
}

func (t *table) Touch(_ context.Context, regions []event.Region, _ uint64) error {
	found, err := t.in(regions)
	for _, i := range found {
		t.touched[i]++
	}
	return err
}

func (t *table) Times(context.Context) (first, last event.Millis, err error) {
	first, last = event.Forever, event.Always
	for _, o := range t.observations {
		first, last = min(first, o.First), max(last, o.First)
	}
	return first, last, nil
}

// pass corrects and touches, and returns which rows.
func (t *table) pass(regions []event.Region, most int) (stale []event.Stale, touched map[int]int, err error) {
	w := newWorld()
	of := &table{w, t.observations, most, map[int]int{}}
	r := reconcile.New(reconcile.Config{}, w, w, of, pipeline.SystemClock{}, observed{w})
	if _, err = r.Correct(context.Background(), regions, 7); err == nil {
		err = r.Touch(context.Background(), regions, 3)
	}
	for _, c := range w.corrected {
		stale = append(stale, c.Stale...)
	}
	return stale, of.touched, err
}

const hour event.Millis = 3_600_000

// Of observations that are more than an hour apart each can be asked for alone.
func TestRegionsAreTheSameInParts(t *testing.T) {
	service := rapid.SampledFrom([]string{"shop", "cart", "stock"})
	environment := rapid.SampledFrom([]string{"prod", "test"})
	rapid.Check(t, func(t *rapid.T) {
		var all table
		for _, h := range rapid.SliceOfNDistinct(rapid.Int64Range(-10, 30), 1, 30, rapid.ID).Draw(t, "hours") {
			// Many lie where a region begins, ends or is cut.
			at := 2*hour*event.Millis(h) - event.Millis(rapid.IntRange(0, 1).Draw(t, "before"))
			all.observations = append(all.observations, event.Stale{
				Service: service.Draw(t, "service"), Environment: environment.Draw(t, "environment"), First: at, Last: at, Rows: 1,
				Versions: []string{fmt.Sprint(h)},
			})
		}
		moment := rapid.Map(rapid.Int64Range(-25, 65), func(h int64) event.Millis { return hour * event.Millis(h) })
		several := rapid.SampledFrom([]int{1, 1, 2, 5, 100}).Draw(t, "several")
		regions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Region {
			r := event.Region{AnyEnvironment: rapid.Bool().Draw(t, "any"), Environment: environment.Draw(t, "environment"),
				From: rapid.OneOf(moment, rapid.Just(event.Always)).Draw(t, "from"), To: rapid.OneOf(moment, rapid.Just(event.Forever)).Draw(t, "to")}
			if rapid.Bool().Draw(t, "some services") {
				r.Services = []string{service.Draw(t, "service")}
			}
			return r
		}), several, several).Draw(t, "regions")
		wantStale, wantTouched, err := all.pass(regions, len(all.observations))
		if err != nil {
			t.Fatal(err)
		}
		stale, touched, err := all.pass(regions, rapid.IntRange(1, len(all.observations)).Draw(t, "most"))
		if err != nil {
			t.Fatal(err)
		}
		// What is in several regions may be found, and touched, in each.
		if len(regions) > 1 {
			for _, some := range [][]event.Stale{stale, wantStale} {
				for i := range some {
					some[i].Rows = 0
				}
			}
			for i := range touched {
				touched[i] = wantTouched[i]
			}
		}
		if diff := cmp.Diff(wantStale, stale); diff != "" {
			t.Errorf("stale (-whole +in parts):\n%s", diff)
		}
		if diff := cmp.Diff(wantTouched, touched); diff != "" {
			t.Errorf("touched (-whole +in parts):\n%s", diff)
		}
	})
}

func TestAnHourThatTakesTooLongIsAnError(t *testing.T) {
	all := &table{observations: []event.Stale{{Service: "shop", First: 5, Last: 5, Rows: 1}, {Service: "shop", First: hour, Last: hour, Rows: 1}}}
	if _, _, err := all.pass([]event.Region{everywhere}, 1); !errors.Is(err, pipeline.ErrTooLong) {
		t.Errorf("error %v", err)
	}
	if _, _, err := all.pass([]event.Region{everywhere}, 2); err != nil {
		t.Error(err)
	}
}
