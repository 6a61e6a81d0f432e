package why

import (
	"context"
	"slices"
)

// hitFor is how much of an effect is looked at for who was hit, from its onset:
// as much as the view incident_impact counts.
const hitFor = Moment(24 * 3600_000)

// hit reads who was hit. A finding hits nobody by being there.
func (r *reader) hit(ctx context.Context, s *Story) error {
	e := s.Effect
	if e.Kind == "finding" || e.Service == "" || e.Onset == 0 || e.Onset >= r.until() {
		return nil
	}
	h := &Hit{Unobserved: []string{}, From: e.Onset, To: min(r.until(), e.Onset+hitFor)}
	if e.Ended != 0 {
		h.To = max(min(h.To, e.Ended), e.Onset+60_000)
	}
	if err := r.usersHit(ctx, e, h); err != nil {
		return err
	}
	if err := r.servicesHit(ctx, e, h); err != nil {
		return err
	}
	if err := r.lost(ctx, e, h); err != nil {
		return err
	}
	s.Hit = h
	if h.Users == 0 && len(h.Services) == 0 {
		return r.unobserved(ctx, e, h)
	}
	return nil
}

// lost reads which conversions are missing.
func (r *reader) lost(ctx context.Context, e *Effect, h *Hit) error {
	h.Lost = map[string]float64{}
	if e.Kind != "incident" || r.AsOf != 0 {
		return nil
	}
	statement := with("SELECT conversions_lost AS lost, toUnixTimestamp64Milli(counted_until) AS until FROM whence.incident_impact_of(incident = {id})", "id", e.ID)
	rows, err := Rows[struct {
		Lost  map[string]float64
		Until Moment
	}](ctx, r.ask, statement)
	if err != nil || len(rows) == 0 {
		return err
	}
	if len(rows[0].Lost) > 0 {
		h.Lost, h.LostUntil = rows[0].Lost, rows[0].Until
	}
	h.SQL = append(h.SQL, statement)
	return nil
}

// unobserved reads which of the effect's services no observation ever named: of
// one that is measured under another name nothing is seen.
func (r *reader) unobserved(ctx context.Context, e *Effect, h *Hit) error {
	seen, err := Rows[struct{ Service string }](ctx, r.ask, with(
		"SELECT DISTINCT toString(service) AS service FROM whence.observations WHERE service IN {services}", "services", e.Names))
	if err != nil {
		return err
	}
	observed := []string{}
	for _, row := range seen {
		observed = append(observed, row.Service)
	}
	means, _, err := r.names(ctx, observed)
	for _, service := range e.Canonical {
		if !slices.Contains(means, service) {
			h.Unobserved = append(h.Unobserved, service)
		}
	}
	return err
}

func (r *reader) usersHit(ctx context.Context, e *Effect, h *Hit) error {
	statement := with(`
WITH (SELECT (groupArray(name), groupArray(canonical)) FROM whence.user_names) AS known, transform(user, known.1, known.2, user) AS person
SELECT uniqExactIf(person, person != '') AS users, uniqExactIf(person, person != '' AND ok = false) AS failed
FROM whence.observations FINAL
WHERE service IN {services} AND environment = {environment} AND time >= {from} AND time < {to}`,
		"services", e.Names, "environment", e.Environment, "from", h.From, "to", h.To)
	users, err := Rows[struct{ Users, Failed uint64 }](ctx, r.ask, statement)
	if err != nil {
		return err
	}
	for _, u := range users {
		h.Users, h.Failed = u.Users, u.Failed
	}
	h.SQL = append(h.SQL, statement)
	return nil
}

// servicesHit reads the services that the effect names, and those that fail by a
// hundredth of their requests more than in as much time before (half an hour at
// most, at least ten minutes).
func (r *reader) servicesHit(ctx context.Context, e *Effect, h *Hit) error {
	before := min(max(h.To-h.From, 10*60_000), 30*60_000)
	statement := with(`
WITH
    if(v.requests > 0, v.requests, v.measured_requests) AS seen,
    if(v.requests > 0, v.errors, v.measured_errors) AS bad,
    minute >= toStartOfMinute({from}) AS during
SELECT if(n.canonical = '', toString(v.service), n.canonical) AS service, toBool(max(v.service IN {services})) AS named,
    sumIf(seen, during) AS requests,
    if(sumIf(seen, during) > 0, sumIf(bad, during) / sumIf(seen, during),
        1 - sumIf(success_ratio_sum, during) / nullIf(sumIf(success_ratio_count, during), 0)) AS error_rate,
    if(sumIf(seen, NOT during) > 0, sumIf(bad, NOT during) / sumIf(seen, NOT during),
        1 - sumIf(success_ratio_sum, NOT during) / nullIf(sumIf(success_ratio_count, NOT during), 0)) AS error_rate_before
FROM whence.vitals AS v
LEFT JOIN whence.service_names AS n ON n.name = toString(v.service)
WHERE environment = {environment} AND minute >= toStartOfMinute({before}) AND minute < {to}
GROUP BY service
HAVING named OR (ifNull(error_rate, 0) > ifNull(error_rate_before, 0) + 0.01 AND (requests = 0 OR requests * error_rate >= 5))
ORDER BY named DESC, ifNull(error_rate, 0) - ifNull(error_rate_before, 0) DESC, service
LIMIT 10`,
		"services", e.Names, "environment", e.Environment, "from", h.From, "to", h.To, "before", h.From-before)
	var err error
	h.Services, err = Rows[ServiceHit](ctx, r.ask, statement)
	h.SQL = append(h.SQL, statement)
	return err
}
