package chaos

import (
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

func brokerFaults() []*fault {
	return []*fault{
		{name: "a broker's clock is an hour ahead", inject: (*round).wrongClock, possible: func(s *system) string {
			if _, err := exec.LookPath("cc"); err != nil {
				return "no C compiler to make a wrong clock with"
			}
			return ""
		}},
		{name: "a broker is killed", inject: func(r *round) string { return r.killNode(r.anyNode()) }},
		{name: "the controller is killed", inject: func(r *round) string {
			n, err := r.cluster.Controller()
			if err != nil {
				n = r.anyNode()
			}
			return r.killNode(n)
		}},
		{name: "the group's coordinator is killed", inject: func(r *round) string { return r.killNode(r.coordinator()) }},
		{name: "a broker bounces", inject: func(r *round) string {
			n := r.anyNode()
			n.Stop()
			n.Start()
			return fmt.Sprintf("node %d, %s", n.ID, r.goesOn(1000))
		}},
		{name: "a broker stands still", inject: func(r *round) string { return r.pauseNode(r.anyNode()) }},
		{name: "the group's coordinator stands still", inject: func(r *round) string { return r.pauseNode(r.coordinator()) }},
		{name: "two brokers are killed", inject: func(r *round) string {
			i := r.IntN(len(r.cluster.Nodes))
			for k := range 2 {
				n := r.cluster.Nodes[(i+k)%len(r.cluster.Nodes)]
				n.Kill()
				r.later(n.Start)
			}
			return r.hears("sessions ended", 1)
		}},
		{name: "leaders move", inject: func(r *round) string {
			if err := r.cluster.MoveLeaders(r.allTopics()...); err != nil {
				return r.misses("not all of them: " + err.Error())
			}
			return r.goesOn(1000)
		}},
		{name: "the offsets' leaders move", inject: func(r *round) string {
			if err := r.cluster.MoveLeaders("__consumer_offsets"); err != nil {
				return r.misses("not all of them: " + err.Error())
			}
			return r.goesOn(1000)
		}},
		{name: "the link to a broker is cut", inject: func(r *round) string {
			l := r.anyNode().Clients
			l.Cut()
			r.later(l.Mend)
			return r.lasts(5 * time.Second)
		}},
		{name: "the link to a broker swallows everything", inject: func(r *round) string {
			l := r.anyNode().Clients
			l.Swallow()
			r.later(l.Mend)
			return r.lasts(5 * time.Second)
		}},
		{name: "all links to brokers are cut", inject: func(r *round) string {
			for _, n := range r.cluster.Nodes {
				n.Clients.Cut()
				r.later(n.Clients.Mend)
			}
			return r.hears("sessions ended", 1)
		}},
		{name: "links to brokers are slow", inject: func(r *round) string {
			for _, n := range r.cluster.Nodes {
				n.Clients.Slow(150*time.Millisecond, 100*time.Millisecond)
				r.later(n.Clients.Mend)
			}
			return r.lasts(5*time.Second) + ", " + r.goesOn(1000)
		}},
		{name: "a broker's replicas are cut off", inject: func(r *round) string {
			n := r.anyNode()
			n.Replicas.Cut()
			r.later(n.Replicas.Mend)
			return r.lasts(6 * time.Second)
		}},
	}
}

func (r *round) anyNode() *pipelinetest.Node { return r.cluster.Nodes[r.IntN(len(r.cluster.Nodes))] }

func (r *round) killNode(n *pipelinetest.Node) string {
	n.Kill()
	r.later(n.Start)
	return fmt.Sprintf("node %d, %s", n.ID, r.goesOn(500))
}

func (r *round) pauseNode(n *pipelinetest.Node) string {
	n.Signal(syscall.SIGSTOP)
	r.later(func() { n.Signal(syscall.SIGCONT) })
	return fmt.Sprintf("node %d, %s", n.ID, r.goesOn(500))
}

// wrongClock lets a broker stamp records of the next hour, and then those of
// this one again.
func (r *round) wrongClock() string {
	environment, err := pipelinetest.WrongClock(r, time.Hour)
	if err != nil {
		return r.misses(err.Error())
	}
	n := r.anyNode()
	n.Stop()
	n.StartWith(environment)
	r.later(func() {
		n.Stop()
		n.Start()
	})
	r.eventually("the cluster is whole", r.cluster.Whole)
	if err := r.cluster.MoveLeaders(r.topics...); err != nil { // to it, too
		return r.misses("leaders did not move: " + err.Error())
	}
	return fmt.Sprintf("node %d, %s", n.ID, r.sees("rows from the future are stored", 2*patience, func() bool {
		answer, err := r.query(r.Context(), "SELECT count() FROM whence.observations WHERE received_at > now() + INTERVAL 30 MINUTE")
		return err == nil && string(answer) != "0\n"
	}))
}

// coordinator is the node that keeps the offsets of the events group.
func (r *round) coordinator() *pipelinetest.Node {
	found := r.cluster.Admin.FindGroupCoordinators(r.Context(), group)
	for _, n := range r.cluster.Nodes {
		if found[group].NodeID == n.ID {
			return n
		}
	}
	return r.anyNode()
}

// group is the workers' default, contextGroup is those of them who store facts.
const (
	group        = "whence"
	contextGroup = group + "-context"
)
