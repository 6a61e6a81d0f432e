package why

import (
	"context"
	"slices"
	"strconv"
)

const minute = Moment(60_000)

// effectSignal reads what the effect's service showed around the onset, with the
// onset and the first hypotheses marked.
func (r *reader) effectSignal(ctx context.Context, s *Story) error {
	e := s.Effect
	if e.Kind == "finding" || e.Service == "" || e.Onset == 0 {
		return nil
	}
	marks := []Mark{{At: e.Onset, Sign: "!", Words: "onset"}}
	for _, h := range s.Hypotheses[:min(telling, len(s.Hypotheses))] {
		if h.StartedAt != 0 {
			marks = append(marks, Mark{At: h.StartedAt, Sign: strconv.Itoa(h.Rank), Words: h.Kind + " " + h.ID})
		}
	}
	var err error
	s.Signal, err = r.signal(ctx, e.Service, e.Environment, e.Onset, e.Ended, marks, s.argued())
	return err
}

// shows says of a term what it is seen by; the others are seen by nothing here.
var shows = map[string]string{
	"own": "errors", "side": "errors", "upstream": "errors", "elsewhere": "errors", "weekly": "errors", "latency": "latency",
}

// argued is what the strongest evidence is seen by, of the first hypothesis that
// any speaks for: of "no known change" hardly any does. Empty: there is none.
func (s *Story) argued() string {
	for _, h := range s.Hypotheses {
		what, most := "", 0.0
		for _, term := range h.Evidence {
			if shown := shows[term.Name]; shown != "" && term.Contribution > most {
				what, most = shown, term.Contribution
			}
		}
		if what != "" {
			return what
		}
	}
	return ""
}

// point is a minute of a service.
type point struct {
	At               Moment
	Requests, Errors float64
	Ratio            *float64 // of failures, where there are no counts
	Latency          *float64 `json:"mean_latency"`
}

// signal reads r.Minutes minutes around a moment: a third of them before it.
// What is shown is what is argued from, or where that is nothing what changed most
// there: null if nothing is known.
func (r *reader) signal(ctx context.Context, service, environment string, at, ended Moment, marks []Mark, argued string) (*Signal, error) {
	from := (at/minute - Moment(r.Minutes)/3) * minute
	to := min(from+Moment(r.Minutes)*minute, (r.until()/minute+1)*minute)
	if ended != 0 { // some minutes after the end are enough
		to = min(to, max((ended/minute+11)*minute, at+20*minute))
	}
	if to <= from {
		return nil, nil
	}
	canonical, names, err := r.names(ctx, []string{service})
	if err != nil {
		return nil, err
	}
	points, statement, err := r.points(ctx, names, environment, from, to)
	if err != nil || len(points) == 0 {
		return nil, err
	}
	s := &Signal{Service: canonical[0], Environment: environment, From: from, Step: int(minute / 1000), SQL: statement}
	s.What, s.Values = telltale(points, from, to, at, argued)
	for _, m := range marks {
		if from <= m.At && m.At < to {
			s.Marks = append(s.Marks, m)
		}
	}
	slices.SortStableFunc(s.Marks, func(a, b Mark) int { return int(a.At - b.At) })
	return s, nil
}

// points reads the vitals of a service, under any of its names.
func (r *reader) points(ctx context.Context, names []string, environment string, from, to Moment) ([]point, string, error) {
	statement := with(`
SELECT toUnixTimestamp(v.minute) * 1000 AS at,
    if(sum(v.requests) > 0, sum(v.requests), sum(v.measured_requests)) AS requests,
    if(sum(v.requests) > 0, sum(v.errors), sum(v.measured_errors)) AS errors,
    1 - sum(success_ratio_sum) / nullIf(sum(success_ratio_count), 0) AS ratio,
    if(sum(arraySum(mapValues(v.latency))) > 0, sum(latency_sum_ms) / sum(arraySum(mapValues(v.latency))),
        sum(measured_latency_sum_ms) / nullIf(sum(measured_latency_weight), 0)) AS mean_latency
FROM whence.vitals AS v
WHERE v.service IN {names} AND environment = {environment} AND v.minute >= {from} AND v.minute < {to}
GROUP BY at
ORDER BY at`, "names", names, "environment", environment, "from", from, "to", to)
	points, err := Rows[point](ctx, r.ask, statement)
	return points, statement, err
}

// telltale chooses what to show, and gives it by minute: what is argued from, else
// the share of requests that fail, or if that does not rise and traffic falls, the
// share of requests that stay away, or if neither moves and latency rises by a
// fifth, latency.
func telltale(points []point, from, to, at Moment, argued string) (string, []*float64) {
	n := int((to - from) / minute)
	errors, traffic, latency := make([]*float64, n), make([]*float64, n), make([]*float64, n)
	for _, p := range points {
		i := int((p.At - from) / minute)
		if i < 0 || i >= n {
			continue
		}
		latency[i], errors[i] = p.Latency, p.Ratio
		if p.Requests > 0 {
			errors[i] = ptr(p.Errors / p.Requests)
			traffic[i] = ptr(p.Requests)
		}
	}
	split := int((at - from) / minute)
	missing := shortfall(traffic, split)
	before, after := sides(errors, split)
	_, gone := sides(missing, split)
	fast, slow := sides(latency, split)
	switch {
	case argued == "errors" && some(errors):
		return argued, errors
	case argued == "latency" && some(latency):
		return argued, latency
	case gone > max(after-before, 0.05):
		return "shortfall", missing
	case after-before < 0.01 && fast > 0 && slow > 1.2*fast:
		return "latency", latency
	}
	return "errors", errors
}

func some(values []*float64) bool {
	return slices.ContainsFunc(values, func(v *float64) bool { return v != nil })
}

// shortfall is how much of the usual traffic, the median of the minutes before
// split, is missing. Nothing is before the service's first event, nor from the
// minute of its last one on, which may not be over.
func shortfall(traffic []*float64, split int) []*float64 {
	missing := make([]*float64, len(traffic))
	var usual []float64
	for _, v := range traffic[:min(max(split, 0), len(traffic))] {
		if v != nil {
			usual = append(usual, *v)
		}
	}
	if len(usual) < 5 { // nobody knows what is usual
		return missing
	}
	slices.Sort(usual)
	median := usual[len(usual)/2]
	first, last := len(traffic), 0
	for i, v := range traffic {
		if v != nil {
			first, last = min(first, i), i
		}
	}
	for i := first; i < last; i++ {
		v := 0.0
		if traffic[i] != nil {
			v = *traffic[i]
		}
		missing[i] = ptr(max(0, 1-v/median))
	}
	return missing
}

// sides are the means before and from split on, of the minutes that are known.
func sides(values []*float64, split int) (before, after float64) {
	split = min(max(split, 0), len(values))
	return mean(values[:split]), mean(values[split:])
}

func mean(values []*float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if v != nil {
			sum += *v
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

func ptr(v float64) *float64 { return &v }
