package pipeline

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// FailpointsVariable names the environment variable that arms failpoints, for
// tests that must stop a worker at one exact step of the commit protocol:
//
//	WHENCE_FAILPOINTS="events/after-intent=kill@3,context/before-commit=stop"
//
// The actions are kill (SIGKILL to the own process), stop (SIGSTOP), hold (the
// step says so on standard error, and goes on at a SIGUSR1; the rest of the
// process goes on meanwhile), and a duration (the step takes that much longer).
// "@n" acts on the n-th passing and on no other; without it the first.
const FailpointsVariable = "WHENCE_FAILPOINTS"

// Failpoint is passed at a step; it does nothing unless a test has armed it.
func Failpoint(name string) {
	if armed := failpoints(); armed != nil {
		armed.pass(name)
	}
}

type failpoint struct {
	action string
	at     int
}

type failpointSet struct {
	mu     sync.Mutex
	points map[string]failpoint
	passed map[string]int
}

var failpoints = sync.OnceValue(func() *failpointSet {
	set, err := parseFailpoints(os.Getenv(FailpointsVariable))
	if err != nil {
		panic(err) // armed by a test, wrongly
	}
	return set
})

func parseFailpoints(spec string) (*failpointSet, error) {
	if spec == "" {
		return nil, nil
	}
	set := &failpointSet{points: map[string]failpoint{}, passed: map[string]int{}}
	for entry := range strings.SplitSeq(spec, ",") {
		name, action, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, fmt.Errorf("%s: %q: want name=action[@n]", FailpointsVariable, entry)
		}
		point := failpoint{action: action, at: 1}
		if action, at, ok := strings.Cut(action, "@"); ok {
			n, err := strconv.Atoi(at)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("%s: %q: want a positive number after @", FailpointsVariable, entry)
			}
			point = failpoint{action: action, at: n}
		}
		switch point.action {
		case "kill", "stop", "hold":
		default:
			if _, err := time.ParseDuration(point.action); err != nil {
				return nil, fmt.Errorf("%s: %q: want kill, stop, hold or a duration", FailpointsVariable, entry)
			}
		}
		set.points[name] = point
	}
	return set, nil
}

func (s *failpointSet) pass(name string) {
	s.mu.Lock()
	s.passed[name]++
	point, armed := s.points[name]
	now := armed && s.passed[name] == point.at
	s.mu.Unlock()
	if !now {
		return
	}
	switch point.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "hold":
		hold(name)
	default:
		d, _ := time.ParseDuration(point.action) // parsed once already
		time.Sleep(d)
	}
}

// hold listens before it speaks: a SIGUSR1 that nobody listens for is the end.
func hold(name string) {
	released := make(chan os.Signal, 1)
	signal.Notify(released, syscall.SIGUSR1)
	defer signal.Stop(released)
	fmt.Fprintf(os.Stderr, "failpoint %s holds\n", name)
	<-released
}

// MutationsVariable names the environment variable that takes safeguards out
// of a worker, for tests that must show that each of them is needed:
//
//	WHENCE_MUTATIONS="no-intent,no-token"
const MutationsVariable = "WHENCE_MUTATIONS"

// Mutated says whether a test has taken a safeguard out.
func Mutated(safeguard string) bool { return mutations()[safeguard] }

var mutations = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for name := range strings.SplitSeq(os.Getenv(MutationsVariable), ",") {
		set[name] = true
	}
	return set
})
