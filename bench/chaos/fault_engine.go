package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

func engineFaults() []*fault {
	return []*fault{
		{name: "the engine is killed in an insert", inject: func(r *round) string {
			return r.awaitInsert() + ", " + r.killEngine()
		}},
		{name: "the engine is killed in a merge", inject: (*round).killInMerge},
		{name: "the engine stands still", inject: func(r *round) string {
			engine := r.engine.Load()
			engine.Signal(syscall.SIGSTOP)
			r.later(func() { engine.Signal(syscall.SIGCONT) })
			return r.hears("stages tried again", 1)
		}},
		{name: "ClickHouse refuses connections", inject: func(r *round) string {
			r.store.Cut()
			r.later(r.store.Mend)
			return r.hears("stages tried again", 2) + ", " + r.stays()
		}},
		{name: "ClickHouse answers 503", inject: func(r *round) string {
			return r.treated(pipelinetest.Everything(pipelinetest.Refuse), "stages tried again", 2)
		}},
		{name: "ClickHouse hangs", inject: func(r *round) string {
			return r.treated(pipelinetest.Everything(pipelinetest.Hang), "stages tried again", 2)
		}},
		{name: "ClickHouse stores and its answers are lost", inject: func(r *round) string {
			return r.treated(sometimes(r.Rand, pipelinetest.Inserts("whence", pipelinetest.Lose), 2), "stages tried again", 4)
		}},
		{name: "a zombie insert arrives after its retry", inject: (*round).zombie},
		{name: "a zombie insert arrives after the deduplication window", inject: (*round).zombieBeyondWindow},
		{name: "inserts are cut off in the middle", inject: func(r *round) string {
			r.store.Limit(20_000 + r.IntN(60_000))
			r.later(r.store.Mend)
			return r.hears("stages tried again", 2) + ", " + r.stays()
		}},
		{name: "the link to ClickHouse is slow", inject: func(r *round) string {
			r.store.Slow(200*time.Millisecond, 100*time.Millisecond)
			r.store.Narrow(200)
			r.later(r.store.Mend)
			return r.lasts(5 * time.Second)
		}},
		{name: "the link to ClickHouse swallows everything", inject: func(r *round) string {
			r.store.Swallow()
			r.later(r.store.Mend)
			return r.hears("stages tried again", 1)
		}},
		{name: "ClickHouse's disk is full", inject: (*round).fillDisk, possible: func(s *system) string {
			if !s.disk.limits {
				return "no file system of a limited size can be mounted here"
			}
			return ""
		}},
		{name: "ClickHouse is down for ten minutes at full load", full: true, inject: (*round).longOutage},
	}
}

// treated lets the gateway do something to requests, until workers notice.
func (r *round) treated(how func(*http.Request) pipelinetest.Treatment, word string, times int) string {
	r.gateway.Treat(how)
	r.later(r.gateway.Heal)
	return r.hears(word, times) + ", " + r.stays()
}

// sometimes treats one of n.
func sometimes(random *rand.Rand, how func(*http.Request) pipelinetest.Treatment, n int) func(*http.Request) pipelinetest.Treatment {
	random = rand.New(rand.NewPCG(random.Uint64(), 0)) // the round goes on with its own
	var mu sync.Mutex
	return func(request *http.Request) pipelinetest.Treatment {
		treatment := how(request)
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(n) > 0 {
			return pipelinetest.Pass
		}
		return treatment
	}
}

// awaitInsert returns while an insert is on its way.
func (r *round) awaitInsert() string {
	seen := make(chan struct{})
	var once sync.Once
	r.gateway.Treat(func(request *http.Request) pipelinetest.Treatment {
		if pipelinetest.Inserts("whence.observations", pipelinetest.Refuse)(request) != pipelinetest.Pass {
			once.Do(func() { close(seen) })
		}
		return pipelinetest.Pass
	})
	met := "an insert is on its way"
	select {
	case <-seen:
	case <-time.After(patience):
		met = r.misses("no insert comes")
	}
	r.gateway.Heal()
	<-time.After(time.Duration(r.IntN(30)) * time.Millisecond) // into the middle of it
	return met
}

func (r *round) killEngine() string {
	r.engine.Load().Kill()
	r.later(r.startEngine)
	return r.hears("stages tried again", 1) + ", " + r.stays()
}

// killInMerge asks for merges of everything and kills in the midst of them.
func (r *round) killInMerge() string {
	go func() {
		// The answer never comes: that is the point.
		_, _ = r.query(r.Context(), "OPTIMIZE TABLE whence.observations FINAL")
	}()
	seen := r.sees("a merge is under way", patience, func() bool {
		answer, err := r.query(r.Context(), "SELECT count() FROM system.merges")
		return err == nil && string(answer) != "0\n"
	})
	return seen + ", " + r.killEngine()
}

// zombie holds inserts back until their sender has given up and tried again,
// and lets them through then.
func (r *round) zombie() string {
	before := r.gateway.Done()[pipelinetest.Delay]
	r.gateway.Treat(sometimes(r.Rand, pipelinetest.Inserts("whence.observations", pipelinetest.Delay), 3))
	r.later(func() {
		r.gateway.Heal()
		r.gateway.AwaitLate()
	})
	return r.sees("3 inserts are held back", patience, func() bool { return r.gateway.Done()[pipelinetest.Delay] >= before+3 }) +
		", " + r.hears("stages tried again", 1)
}

// zombieBeyondWindow makes the window so short that the zombie's token is
// forgotten by the time it comes: its rows are there twice then, and collapse by
// their keys. The raw target keeps its window, so it must not count them twice.
func (r *round) zombieBeyondWindow() string {
	const table = "whence.observations"
	const setting = "ALTER TABLE " + table + " MODIFY SETTING non_replicated_deduplication_window = "
	r.ask(setting + "1")
	r.ask("SYSTEM STOP MERGES " + table) // or they collapse before they are seen
	before := r.repeated()
	held := r.zombie()
	r.undo[len(r.undo)-1]() // the zombies come
	r.undo = r.undo[:len(r.undo)-1]
	r.later(func() {
		r.ask("SYSTEM START MERGES " + table)
		r.ask(setting + "100000")
	})
	more := int64(0)
	seen := r.needs("rows are stored twice", func() bool { more = r.repeated() - before; return more > 0 })
	return fmt.Sprintf("%s, %s: %d", held, seen, more)
}

// repeated is how many rows are there again, of the same record: what a zombie has
// stored, as whence verify counts it, and not what a correction has written anew.
func (s *system) repeated() int64 {
	s.Helper()
	return s.number(`SELECT toInt64(count() - uniqExact(cityHash64(source, id, name, service, environment, time, topic, partition, offset, received_at)))
		FROM whence.observations WHERE rewritten = 0`)
}

// fillDisk fills it under running inserts and merges. The engine ends by itself then,
// because a merge that found no room may have spoiled its part, and once more when
// there is room again. It is started each time, as whoever runs it has to.
func (r *round) fillDisk() string {
	r.filled = true
	if err := r.disk.fill(); err != nil {
		return r.misses("the disk could not be filled: " + err.Error())
	}
	seen := r.endsByItself() + fmt.Sprintf(", %d bytes free", r.disk.free())
	r.startEngine()
	r.later(func() {
		if err := r.disk.empty(); err != nil {
			r.Errorf("the disk could not be emptied: %v", err)
		}
		r.endsByItself()
		r.startEngine()
	})
	return seen + ", " + r.hears("stages tried again", 2) + ", " + r.stays()
}

// endsByItself waits for the end of an engine that sees what its disk has become.
func (r *round) endsByItself() string {
	engine := r.engine.Load()
	defer engine.Kill()
	return r.needs("the engine ends by itself", func() bool {
		select {
		case <-engine.Ended():
			return true
		default:
			return false
		}
	})
}

// fullLoad is events a second: about what two cores take with all that runs here.
const fullLoad = 6000

// longOutage is the engine gone for ten minutes at full load: what workers hold
// must not grow.
func (r *round) longOutage() string {
	defer r.publisher.rate.Store(r.publisher.rate.Swap(fullLoad))
	r.fleet.measure()
	before := r.fleet.takePeak()
	r.engine.Load().Kill()
	r.later(r.startEngine)
	const samples, every = 600, time.Second
	for range samples {
		<-time.After(every)
		r.fleet.measure()
	}
	peak := r.fleet.takePeak()
	if limit := before*2 + 200<<20; peak > limit {
		r.Errorf("a worker grew to %d MB while ClickHouse was away, from %d MB", peak>>20, before>>20)
	}
	return fmt.Sprintf("a worker's memory: %d MB before, %d MB at most", before>>20, peak>>20)
}
