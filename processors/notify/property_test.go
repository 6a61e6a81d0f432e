package notify_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/schemas/event"
)

// crash ends a worker where it stands.
type crash struct{}

// Effects are ranked again and again in any order; the target refuses, loses
// answers, is away; the tables are away; workers die anywhere and others take
// over. Whatever happens: one incident is one thread, no minute has more messages
// than are allowed, and in the end every thread says what was ranked last.
func TestWhateverHappensAnIncidentIsOneThreadAndNobodyIsFlooded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &storm{T: t, stored: newTables(), now: noon, current: map[string]notify.Ranking{}}
		w.chat = &chat{room{threads: true}}
		w.target = notify.Target{Name: "ops", Outlet: w.chat, PerMinute: 6, Storm: 2}
		w.goOn()
		w.oneThreadEach()
		w.noFlood()
		w.allTold()
	})
}

// What was lost or is not known to be sent is sent again, for a webhook can't be
// asked. If it drops what it has under the same key, every effect is told first once.
func TestWhateverHappensAWebhookThatDropsWhatItHasIsToldOfAnEffectOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &storm{T: t, stored: newTables(), now: noon, current: map[string]notify.Ranking{}}
		w.chat = &chat{room{threads: true}}
		w.target = notify.Target{Name: "hook", Outlet: &w.chat.room, PerMinute: 6, Storm: 2}
		w.goOn()
		seen := map[string]bool{}
		w.chat.messages = slices.DeleteFunc(w.chat.messages, func(m notify.Message) bool {
			dropped := seen[m.Key]
			seen[m.Key] = true
			return dropped
		})
		w.oneThreadEach()
	})
}

type storm struct {
	*rapid.T
	stored  *tables
	chat    *chat
	target  notify.Target
	teller  *notify.Teller
	now     event.Millis
	current map[string]notify.Ranking // of each effect
	number  uint64
	trouble bool
}

// goOn lets everything happen, and then all be well for a while.
func (w *storm) goOn() {
	w.chat.fail, w.chat.lose, w.stored.after = w.before, w.after, func() { w.maybeCrash() }
	w.start()
	w.trouble = true
	for range rapid.IntRange(1, 60).Draw(w.T, "steps") {
		switch rapid.SampledFrom([]string{"rank", "rank", "rank", "pass", "pass", "crash"}).Draw(w.T, "step") {
		case "rank":
			w.rank()
		case "pass":
			w.pass(time.Duration(rapid.IntRange(1, 40).Draw(w.T, "seconds")) * time.Second)
		case "crash":
			w.start()
		}
	}
	w.trouble, w.stored.fail = false, nil
	w.pass(20 * time.Minute)
}

func (w *storm) start() {
	w.teller = notify.NewTeller(notify.Config{}, w.target, w.stored, &observer{}, w.now, w.stored.told())
	for _, r := range w.current {
		w.teller.Hand(r)
	}
}

func (w *storm) rank() {
	w.number++
	id := fmt.Sprintf("inc-%d", rapid.IntRange(1, 6).Draw(w.T, "incident"))
	r := ranking(id, w.number, 0, rapid.SampledFrom([]string{"v1", "v2", "none"}).Draw(w.T, "leader"),
		rapid.SampledFrom([]float64{0.3, 0.6, 0.95}).Draw(w.T, "probability"))
	if rapid.Bool().Draw(w.T, "alert") {
		r = alert(r, "a-"+id, id)
	}
	r.ComputedAt = w.now
	w.current[r.Kind+r.ID] = r
	w.teller.Hand(r)
}

// pass lets time go by. A worker that crashes is replaced at once.
func (w *storm) pass(d time.Duration) {
	end := w.now + event.Millis(d.Milliseconds())
	for w.now < end {
		next, crashed := w.step()
		if crashed {
			w.start()
		}
		if next > w.now {
			w.now = min(next, end)
		} else {
			w.now++ // so that what goes on for ever ends
		}
	}
}

func (w *storm) step() (next event.Millis, crashed bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, is := r.(crash); !is {
				panic(r)
			}
			crashed = true
		}
	}()
	return w.teller.Step(w.T.Context(), w.now), false
}

func (w *storm) maybeCrash() {
	if w.trouble && rapid.IntRange(0, 9).Draw(w.T, "dies") == 0 {
		panic(crash{})
	}
}

func (w *storm) before(*notify.Message) error {
	w.maybeCrash()
	if !w.trouble {
		return nil
	}
	switch rapid.IntRange(0, 9).Draw(w.T, "trouble before") {
	case 0:
		return &notify.Failure{Err: errAway, After: time.Duration(rapid.IntRange(0, 60).Draw(w.T, "after")) * time.Second}
	case 1:
		return &notify.Failure{Err: errAway, Unsure: true}
	}
	return nil
}

func (w *storm) after(*notify.Message) error {
	w.maybeCrash()
	if w.trouble && rapid.IntRange(0, 9).Draw(w.T, "trouble after") == 0 {
		return &notify.Failure{Err: errAway, Unsure: true}
	}
	return nil
}

func (w *storm) oneThreadEach() {
	begun := map[string]int{}
	for _, m := range w.chat.messages {
		switch m.Action {
		case notify.Opened:
			begun[m.Thread]++
		case notify.Summary:
			for _, r := range m.Effects {
				begun["incident/"+max(r.Incident, r.ID)]++
			}
		default:
			if m.Place == "" {
				w.Fatalf("%s of %s is in no thread", m.Action, m.Thread)
			}
		}
	}
	for thread, n := range begun {
		if n > 1 {
			w.Fatalf("%s was begun %d times: %q", thread, n, w.chat.said())
		}
	}
}

func (w *storm) noFlood() {
	for i, m := range w.chat.messages {
		all, begun := 0, 0
		for _, other := range w.chat.messages[i:] {
			if other.At >= m.At+60_000 {
				break
			}
			all++
			if other.Action == notify.Opened || other.Action == notify.Summary {
				begun++
			}
		}
		if all > w.target.PerMinute || begun > w.target.Storm+1 {
			w.Fatalf("%d messages within a minute, %d threads begun", all, begun)
		}
	}
}

// allTold: the last message of each thread has the leader of its incident's
// current ranking, or of its alert's where there is no incident.
func (w *storm) allTold() {
	last := map[string]notify.Ranking{}
	for _, m := range w.chat.messages {
		for _, r := range append(m.Effects, ranked(m)...) {
			thread := max(r.Incident, r.ID)
			if r.Kind == "incident" || last[thread].Kind != "incident" {
				last[thread] = r
			}
		}
	}
	for _, r := range w.current {
		thread := max(r.Incident, r.ID)
		if _, incident := w.current["incident"+thread]; incident && r.Kind != "incident" {
			continue
		}
		told, known := last[thread]
		if !known || told.Kind == r.Kind && (told.Links[0].Kind != r.Links[0].Kind || told.Links[0].ID != r.Links[0].ID) {
			w.Fatalf("%s %s: told %v, ranked %v; said %q", r.Kind, r.ID, told.Links, r.Links, w.chat.said())
		}
	}
}

func ranked(m notify.Message) []notify.Ranking {
	if m.Ranking == nil {
		return nil
	}
	return []notify.Ranking{*m.Ranking}
}
