package decode

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// unleashMessage is an event of Unleash as its webhook integration sends it
// without a body template of one's own. No Go library has it, so these are the
// fields used ("Events" in Unleash's documentation).
type unleashMessage struct {
	*payload
	unleashEvent
}

type unleashEvent struct {
	ID          int64           `json:"id"`
	Type        string          `json:"type"`
	CreatedAt   string          `json:"createdAt"`
	CreatedBy   string          `json:"createdBy"`
	Environment string          `json:"environment"`
	Flag        string          `json:"featureName"`
	Data        json.RawMessage `json:"data"`
	Before      json.RawMessage `json:"preData"`
}

// unleashStrategy is who gets a flag; of several each adds its own.
type unleashStrategy struct {
	Name        string            `json:"name"`
	Parameters  map[string]detail `json:"parameters"`
	Constraints []struct {
		Context string   `json:"contextName"`
		Op      string   `json:"operator"`
		Values  []string `json:"values"`
		Value   string   `json:"value"`
	} `json:"constraints"`
	Segments []int64 `json:"segments"`
	Variants []struct {
		Name   string  `json:"name"`
		Weight float64 `json:"weight"` // of 1000
	} `json:"variants"`
	Disabled bool `json:"disabled"`
}

func unleashReader() reader {
	rules := unleashRules()
	read := func(p *payload, s *said) error {
		m := unleashMessage{payload: p}
		if err := json.Unmarshal(p.body, &m.unleashEvent); err != nil {
			return malformed(err)
		}
		if m.Type == "" {
			return unkind("type")
		}
		apply(s, rules, m.Type, "unleash", m)
		id := ""
		if m.ID != 0 {
			id = "event/" + number(m.ID)
		}
		return s.original(kindOf("io.getunleash", m.Type), "unleash", id, rfc3339(m.CreatedAt))
	}
	return reader{source: "unleash", read: read, rows: rows(rules), plain: []string{"values", "segments"}}
}

// strategyOf reads a strategy, nil where raw is none.
func strategyOf(raw json.RawMessage) *unleashStrategy {
	var s *unleashStrategy
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return s
}

// percent of all who get it, by the strategy's own limits, and whether it says so.
func (s unleashStrategy) percent() (float64, bool) {
	if s.Disabled {
		return 0, true
	}
	switch s.Name {
	case "default":
		return 100, true
	case "flexibleRollout", "gradualRolloutRandom", "gradualRolloutUserId", "gradualRolloutSessionId":
		p, err := strconv.ParseFloat(cmp.Or(string(s.Parameters["rollout"]), string(s.Parameters["percentage"])), 64)
		return p, err == nil && p >= 0 && p <= 100
	}
	return 0, false
}

// whom it is limited to, in words: its constraints and segments, or its name.
func (s unleashStrategy) whom() string {
	var all []string
	for _, c := range s.Constraints {
		all = append(all, strings.TrimSpace(c.Context+" "+c.Op+" "+strings.Join(append(c.Values, c.Value), " ")))
	}
	for _, id := range s.Segments {
		all = append(all, "segment "+number(id))
	}
	return brief(strings.Join(all, " and "))
}

// rules are what the strategy alone gives: variants, or just "enabled", to the
// percent of all, or of those it is limited to, which is said in words.
func (s *unleashStrategy) rules() map[string]any {
	if s == nil || s.Name == "" {
		return nil
	}
	percent, known := s.percent()
	whom := s.whom()
	share := func(of float64) any {
		words := strconv.FormatFloat(of, 'f', -1, 64) + " % of " + whom
		switch {
		case !known:
			return cmp.Or(whom, s.Name)
		case whom == "":
			return of
		}
		return words
	}
	rules := map[string]any{}
	for _, v := range s.Variants {
		if v.Name != "" {
			rules[v.Name] = share(percent * v.Weight / 1000)
		}
	}
	if len(rules) == 0 {
		rules["enabled"] = share(percent)
	}
	return rules
}

// variantsOf are the rules of a flag's variants in an environment.
func variantsOf(raw json.RawMessage) map[string]any {
	var data struct {
		Variants []struct {
			Name   string  `json:"name"`
			Weight float64 `json:"weight"`
		} `json:"variants"`
	}
	if json.Unmarshal(raw, &data) != nil {
		return nil
	}
	rules := map[string]any{}
	for _, v := range data.Variants {
		if v.Name != "" {
			rules[v.Name] = v.Weight / 10
		}
	}
	return rules
}

func unleashRules() []rule[unleashMessage] {
	type m = unleashMessage
	fields := []field[m]{
		{"flag", "`featureName`", func(m m) any { return m.Flag }},
		{"environment", "`environment`, else the hint, else the default", func(m m) any { return m.environment(m.Environment) }},
		{"services", "the hint", func(m m) any {
			if m.hint("service") == "" {
				return nil
			}
			return []string{m.hint("service")}
		}},
		{"changed_by", "`createdBy`", func(m m) any { return m.CreatedBy }},
	}
	changed := func(kind string, more ...field[m]) rule[m] {
		return rule[m]{from: kind, to: "flag.changed", fields: with(fields, more...),
			id:   field[m]{doc: "event/`id`", from: func(m m) any { return named("event", m.ID) }},
			time: field[m]{doc: "`createdAt`", from: func(m m) any { return rfc3339(m.CreatedAt) }}}
	}
	of := func(name, path string, raw func(m) json.RawMessage) field[m] {
		return field[m]{name, "of the strategy in `" + path + "`: its variants, or `enabled`, to the percent; where it has constraints or segments to words with them; else its name",
			func(m m) any { return strategyOf(raw(m)).rules() }}
	}
	data, before := func(m m) json.RawMessage { return m.Data }, func(m m) json.RawMessage { return m.Before }
	return []rule[m]{
		// Who gets an enabled flag its strategies say, which this event doesn't carry.
		changed("feature-environment-enabled", field[m]{"rules", "`enabled`: by its strategies", func(m) any { return map[string]any{"enabled": "by its strategies"} }}),
		changed("feature-environment-disabled", field[m]{"rules", "`disabled`: 100", func(m) any { return map[string]any{"disabled": 100} }}),
		changed("feature-strategy-add", of("rules", "data", data)),
		changed("feature-strategy-update", of("rules", "data", data), of("previous", "preData", before)),
		changed("feature-strategy-remove", field[m]{"rules", "`enabled`: by its other strategies", func(m) any { return map[string]any{"enabled": "by its other strategies"} }},
			of("previous", "preData", before)),
		changed("feature-environment-variants-updated",
			field[m]{"rules", "`data.variants[].weight`, tenths of a percent", func(m m) any { return variantsOf(m.Data) }},
			field[m]{"previous", "the same of `preData`", func(m m) any { return variantsOf(m.Before) }}),
	}
}
