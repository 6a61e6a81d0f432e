package rollouts

import "fmt"

// stage is one step of a rollout.
type stage struct {
	at             int64
	percent        int // -1: unstated
	phase          string
	added, removed []*pod
}

// rollout is one deployment.
type rollout struct {
	id, version, previous string
	service               *service
	started, finished     int64 // finished 0: not yet
	stages                []stage
	outcome               string
	withheld              bool
}

// fleet is how an organisation rolls out.
type fleet struct {
	*world
	// lag is by how much its deployer says late that instances were replaced.
	lag int64
	ids int // what deployments are called
}

func newFleet(w *world) *fleet {
	f := &fleet{world: w, lag: w.seconds(0, 8), ids: w.IntN(3)}
	if w.chance(0.5) {
		f.lag = w.seconds(22, 36)
	}
	return f
}

func (f *fleet) id(environment string, s *service) string {
	return f.names.once(func() string {
		switch f.ids {
		case 0:
			return environment + "/" + s.name
		case 1:
			return fmt.Sprintf("%s-%d", s.name, 100+f.IntN(9000))
		default:
			return "deploy-" + f.names.hex(12)
		}
	})
}

// roll begins a rollout whose first stage is at a time.
func (f *fleet) roll(environment string, s *service, first int64) *rollout {
	r := &rollout{id: f.id(environment, s), service: s, previous: s.version, started: first - f.seconds(61, 68)}
	if f.chance(0.15) {
		r.started -= f.seconds(5, 120)
	}
	_, r.version = f.names.version()
	if f.names.versions < 2 {
		r.version = next(s.version)
	}
	f.replace(r, first, max(1, int(float64(s.replicas)*f.between(0.2, 0.45))))
	return r
}

// next counts up the last number of a version.
func next(version string) string {
	end := len(version)
	begin := end
	for begin > 0 && version[begin-1] >= '0' && version[begin-1] <= '9' {
		begin--
	}
	n := 0
	fmt.Sscan(version[begin:end], &n)
	return fmt.Sprintf("%s%d", version[:begin], n+1)
}

// replace is the next stage: n instances of the old version give way.
func (f *fleet) replace(r *rollout, at int64, n int) {
	s := stage{at: at}
	swap := at - f.lag - f.seconds(0, 5)
	for _, p := range r.service.pods {
		if len(s.removed) < n && p.gone == never && p.version == r.service.label(r.previous) && !p.of(r) {
			f.remove(p, swap)
			s.removed = append(s.removed, p)
		}
	}
	for range s.removed {
		s.added = append(s.added, f.bring(r, swap, at))
	}
	s.percent = 100 * f.updated(r) / max(1, r.service.replicas)
	r.stages = append(r.stages, s)
}

func (f *fleet) remove(p *pod, at int64) {
	p.gone = at
	if f.chance(0.06) {
		p.ghost = at + 60
	}
}

// bring adds an instance of the new version. Most are scraped at once, some
// only after a minute, and a few never are though nothing is wrong with them.
func (f *fleet) bring(r *rollout, swap, at int64) *pod {
	p := f.addPod(r.service, r.version, swap+f.seconds(0, 8))
	p.rollout = r
	p.reports = at + f.seconds(-10, 12)
	switch x := f.Float64(); {
	case x < 0.06:
		p.reports = at + f.seconds(30, 75)
	case x < 0.08:
		p.reports = never
	}
	p.born, p.reports = max(p.born, min(p.reports, at)), max(p.reports, p.born)
	p.slower = f.scale(0.8, 1.25)
	return p
}

// updated counts instances of the new version.
func (f *fleet) updated(r *rollout) int {
	n := 0
	for _, p := range r.service.pods {
		if p.rollout == r && p.gone == never {
			n++
		}
	}
	return n
}

// proceed takes a rollout on until the cut: most that began long ago are
// through, most that began just now wait at their first stage.
func (f *fleet) proceed(r *rollout, until int64) {
	at := r.stages[0].at
	for f.updated(r) < r.service.replicas {
		at += f.seconds(60, 400)
		if at > until {
			return
		}
		f.replace(r, at, max(1, r.service.replicas*(2+f.IntN(5))/10))
	}
	if at += f.seconds(5, 90); at <= until {
		r.finished, r.outcome = at, "success"
	}
}

// abort pauses a rollout, or takes it back as well.
func (f *fleet) abort(r *rollout, at int64) {
	r.stages = append(r.stages, stage{at: at, percent: -1, phase: "paused"})
	if f.chance(0.5) {
		return
	}
	at += f.seconds(20, 60)
	back := stage{at: at, percent: 0, phase: "rolling_back"}
	for _, p := range r.service.pods {
		if p.rollout == r && p.gone == never {
			f.remove(p, at-f.lag)
			back.removed = append(back.removed, p)
		}
	}
	for range back.removed {
		back.added = append(back.added, f.addPod(r.service, r.previous, at-f.lag))
	}
	r.stages = append(r.stages, back)
	r.finished, r.outcome = at+f.seconds(5, 30), "rolled_back"
}

// label is what instances of a version say it is.
func (s *service) label(version string) string {
	if s.unlabelled {
		return ""
	}
	return version
}

func (p *pod) of(r *rollout) bool { return p.rollout == r }
