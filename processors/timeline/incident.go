package timeline

import (
	"sort"
	"strings"

	"github.com/whencehq/whence/schemas/event"
)

// incident is folded from its facts (R20 to R22).
type incident struct {
	standing
	id     string
	facts  facts
	scopes []*scope
	open   []episode // the episodes that are not empty
}

// episode is one time an incident was open.
type episode struct{ from, to event.Millis }

// incidentStage is one of an incident's facts.
type incidentStage struct {
	incident           *incident
	stage              event.IncidentStage
	names              []*name
	environment        *environment // nil: not stated
	severity           text
	startedAt, endedAt event.Millis
}

func (t *Timeline) readIncident(i *event.Incident) statement {
	s := &incidentStage{
		incident: t.incident(i.IncidentID),
		stage:    i.Stage,
		names:    t.namesOf(append([]string{i.Service}, i.Services...)),
		severity: t.texts.intern(i.Severity), startedAt: i.StartedAt, endedAt: i.EndedAt,
	}
	if i.Environment != "" {
		s.environment = t.environment(i.Environment)
	}
	return s
}

func (t *Timeline) incident(id string) *incident {
	if known := t.incidents[id]; known != nil {
		return known
	}
	i := &incident{standing: standing{rank: rankOther}, id: strings.Clone(id)}
	t.incidents[i.id] = i
	return i
}

func (s *incidentStage) enter(t *Timeline, f *fact) { t.touch(s.incident); s.incident.facts.add(f) }
func (s *incidentStage) leave(t *Timeline, f *fact) { t.touch(s.incident); s.incident.facts.drop(f) }

func (i *incident) insert(t *Timeline) {
	i.fold(t)
	for _, sc := range i.scopes {
		sc.generation++
		i.bound(sc.boundaries.add)
		for _, e := range i.open {
			sc.incidents.insert(span[*incident]{e.from, e.to, i.facts[0], i})
		}
	}
}

func (i *incident) remove(*Timeline) {
	for _, sc := range i.scopes {
		sc.generation++
		i.bound(sc.boundaries.remove)
		for _, e := range i.open {
			sc.incidents.remove(span[*incident]{e.from, e.to, i.facts[0], i})
		}
	}
}

// bound calls yield with every moment at which i changes the answer.
func (i *incident) bound(yield func(event.Millis)) {
	for _, e := range i.open {
		yield(e.from)
		yield(e.to)
	}
	for _, f := range i.facts {
		if f.says.(*incidentStage).severity != 0 {
			yield(f.time)
		}
	}
}

func (i *incident) fold(t *Timeline) {
	i.scopes, i.open = i.scopes[:0], i.open[:0]
	if len(i.facts) == 0 {
		return
	}
	environment := t.environments[""]
	var names []*name
	for _, f := range i.facts {
		s := f.says.(*incidentStage)
		names = append(names, s.names...)
		if s.environment != nil {
			environment = s.environment
		}
	}
	for _, sv := range servicesOf(names) {
		i.scopes = append(i.scopes, t.scope(sv, environment))
	}
	i.episodes()
}

// onset is R21.
func (i *incident) onset() event.Millis {
	var stated, opened event.Millis
	for k := len(i.facts) - 1; k >= 0; k-- {
		s := i.facts[k].says.(*incidentStage)
		if stated == 0 {
			stated = s.startedAt
		}
		if s.stage == event.IncidentOpened {
			opened = i.facts[k].time
		}
	}
	switch {
	case stated != 0:
		return stated
	case opened != 0:
		return opened
	}
	return i.facts[0].time
}

// episodes is R22.
func (i *incident) episodes() {
	from := i.onset()
	var ended, resolved event.Millis
	end := func(next event.Millis) {
		to := next
		switch {
		case ended != 0:
			to = ended
		case resolved != 0:
			to = resolved
		}
		if from < to {
			i.open = append(i.open, episode{from, to})
		}
	}
	for _, f := range i.facts {
		s := f.says.(*incidentStage)
		if s.stage == event.IncidentReopened {
			end(f.time)
			from, ended, resolved = f.time, 0, 0
		}
		if s.endedAt != 0 {
			ended = s.endedAt
		}
		closes := s.stage == event.IncidentResolved || s.stage == event.IncidentMerged
		if closes && resolved == 0 {
			resolved = f.time
		}
	}
	end(forever)
}

// severity is R24 for this incident.
func (i *incident) severity(t event.Millis) text {
	known := sort.Search(len(i.facts), func(k int) bool { return i.facts[k].time > t })
	for k := known - 1; k >= 0; k-- {
		if s := i.facts[k].says.(*incidentStage).severity; s != 0 {
			return s
		}
	}
	for _, f := range i.facts[known:] {
		if s := f.says.(*incidentStage).severity; s != 0 {
			return s
		}
	}
	return 0
}

// worse reports whether severity a outranks b (R24).
func worse(a, b string) bool {
	if ra, rb := severityRank(a), severityRank(b); ra != rb {
		return ra < rb
	}
	return a < b
}

func severityRank(s string) int {
	switch s {
	case "critical":
		return 0
	case "high":
		return 1
	case "medium":
		return 2
	case "low":
		return 3
	case "info":
		return 4
	case "":
		return 6
	}
	return 5
}
