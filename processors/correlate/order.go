package correlate

import (
	"cmp"
	"math"
	"slices"
)

// Sums of floats depend on their order in the last digit, and a ranking must not:
// it would be another one at the next look. So candidates and the rows that are
// summed are in one order, whatever they came in.

// orderly is the situation with its candidates in order. Figures that are
// infinite count as unstated.
func orderly(s *Situation) *Situation {
	ordered := *s
	ordered.Measurements, ordered.WeekBefore = finite(s.Measurements), finite(s.WeekBefore)
	ordered.Candidates = slices.SortedFunc(slices.Values(s.Candidates), func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return &ordered
}

// finite copies the rows if any has an infinite figure.
func finite(rows []Measurement) []Measurement {
	copied := false
	for i := range rows {
		if !rows[i].infinite() {
			continue
		}
		if !copied {
			rows, copied = slices.Clone(rows), true
		}
		for _, figure := range rows[i].figures() {
			if math.IsInf(*figure, 0) {
				*figure = math.NaN()
			}
		}
	}
	return rows
}

func (m *Measurement) infinite() bool {
	for _, figure := range m.figures() {
		if math.IsInf(*figure, 0) {
			return true
		}
	}
	return false
}

// sortRows puts lists of rows in order: as a rule they are.
func sortRows[K comparable](measurements []Measurement, lists map[K][]int) {
	for _, rows := range lists {
		slices.SortFunc(rows, func(i, j int) int { return measurements[i].compare(&measurements[j]) })
	}
}

func (m *Measurement) figures() [7]*float64 {
	return [...]*float64{&m.Requests, &m.Errors, &m.Success, &m.Latency, &m.P99, &m.CPU, &m.Memory}
}

// compare orders rows by all that they say: two that are equal by it may change
// places unnoticed.
func (m *Measurement) compare(o *Measurement) int {
	if c := cmp.Compare(m.At, o.At); c != 0 { // nearly always
		return c
	}
	if c := cmp.Or(cmp.Compare(m.Service, o.Service), cmp.Compare(m.Instance, o.Instance),
		cmp.Compare(m.Caller, o.Caller), cmp.Compare(m.Callee, o.Callee), cmp.Compare(m.Source, o.Source), cmp.Compare(m.Version, o.Version),
		cmp.Compare(m.Interval, o.Interval)); c != 0 {
		return c
	}
	others := o.figures()
	for i, figure := range m.figures() {
		if c := cmp.Compare(*figure, *others[i]); c != 0 {
			return c
		}
	}
	return 0
}
