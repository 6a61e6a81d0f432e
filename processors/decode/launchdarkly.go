package decode

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-faster/jx"
)

// launchdarklyMessage is a webhook of LaunchDarkly, which is an entry of its
// audit log, for one of the environments it is about. LaunchDarkly's API client
// is generated and refuses what is not in its specification, so these are the
// fields used ("Get audit log entry" and "Get feature flag" in its API documentation).
type launchdarklyMessage struct {
	*payload
	launchdarklyEntry
	name string // of the environment
}

type launchdarklyEntry struct {
	ID        string `json:"_id"`
	Date      int64  `json:"date"` // ms
	Kind      string `json:"kind"`
	TitleVerb string `json:"titleVerb"`
	Accesses  []struct {
		Action   string `json:"action"`
		Resource string `json:"resource"` // proj/shop:env/production:flag/new-checkout;a-tag
	} `json:"accesses"`
	Member struct {
		Email string `json:"email"`
	} `json:"member"`
	Token struct {
		Name string `json:"name"`
	} `json:"token"`
	CurrentVersion  json.RawMessage `json:"currentVersion"`
	PreviousVersion json.RawMessage `json:"previousVersion"`

	current, previous *launchdarklyFlag // of a flag's entry: those of other kinds have other versions
}

type launchdarklyFlag struct {
	Key        string `json:"key"`
	Variations []struct {
		Name  string          `json:"name"`
		Value json.RawMessage `json:"value"`
	} `json:"variations"`
	Environments map[string]launchdarklyTargeting `json:"environments"`
}

// launchdarklyTargeting is a flag in one environment.
type launchdarklyTargeting struct {
	On          bool               `json:"on"`
	Off         *int               `json:"offVariation"`
	Fallthrough launchdarklyServe  `json:"fallthrough"`
	Rules       []launchdarklyRule `json:"rules"`
	Targets     []struct {
		Variation *int     `json:"variation"`
		Values    []string `json:"values"`
	} `json:"targets"`
}

// launchdarklyServe is a variation, or shares of several.
type launchdarklyServe struct {
	Variation *int `json:"variation"`
	Rollout   *struct {
		Variations []struct {
			Variation int   `json:"variation"`
			Weight    int64 `json:"weight"` // thousandths of a percent
		} `json:"variations"`
	} `json:"rollout"`
}

type launchdarklyRule struct {
	launchdarklyServe
	Description string `json:"description"`
	Clauses     []struct {
		Attribute string             `json:"attribute"`
		Op        string             `json:"op"`
		Values    launchdarklyValues `json:"values"`
		Negate    bool               `json:"negate"`
	} `json:"clauses"`
}

// launchdarklyValues are the first values of a clause, without their quotes: as many
// as words may show. There may be a hundred thousand.
type launchdarklyValues []string

func (v *launchdarklyValues) UnmarshalJSON(raw []byte) error {
	d := jx.DecodeBytes(raw)
	if d.Next() == jx.Null {
		return nil
	}
	return d.Arr(func(d *jx.Decoder) error {
		if len(*v) == mostBrief {
			return d.Skip()
		}
		one, err := d.Raw()
		*v = append(*v, strings.Trim(string(one), `"`))
		return err
	})
}

func launchdarklyReader() reader {
	rules := launchdarklyRules()
	read := func(p *payload, s *said) error {
		var entry launchdarklyEntry
		if err := json.Unmarshal(p.body, &entry); err != nil {
			return malformed(err)
		}
		if entry.Kind == "" && entry.ID == "" {
			return unkind("kind")
		}
		if err := entry.readFlag(); err != nil {
			return malformed(err)
		}
		environments, all := entry.environments()
		if !all {
			s.unplaced = append(s.unplaced, fmt.Sprintf("flag.changed: more than %d environments", mostEnvironments))
		}
		for _, environment := range environments {
			apply(s, rules, entry.Kind, "https://app.launchdarkly.com", launchdarklyMessage{p, entry, environment})
		}
		return s.original(kindOf("com.launchdarkly", cmp.Or(entry.Kind, "webhook")), "https://app.launchdarkly.com", entry.ID, epoch(entry.Date))
	}
	return reader{source: "launchdarkly", read: read, rows: rows(rules), plain: []string{"values", "value", "included", "excluded"}}
}

func (e *launchdarklyEntry) readFlag() error {
	if e.Kind != "flag" {
		return nil
	}
	for _, v := range []struct {
		from json.RawMessage
		to   **launchdarklyFlag
	}{{e.CurrentVersion, &e.current}, {e.PreviousVersion, &e.previous}} {
		if len(v.from) == 0 {
			continue
		}
		if err := json.Unmarshal(v.from, v.to); err != nil {
			return err
		}
	}
	return nil
}

// mostEnvironments is how many environments one entry may change: each is a fact
// with all that the entry says of itself.
const mostEnvironments = 100

// environments are those that the entry's accesses name, in their order, and
// whether that is all of them.
func (e launchdarklyEntry) environments() (names []string, all bool) {
	seen := map[string]bool{"": true, "*": true}
	for _, a := range e.Accesses {
		for _, part := range strings.Split(a.Resource, ":") {
			name, ok := strings.CutPrefix(part, "env/")
			name, _, _ = strings.Cut(name, ";")
			if !ok || seen[name] {
				continue
			}
			if len(names) == mostEnvironments {
				return names, false
			}
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, true
}

// flag is the key, of the flag or of what was accessed.
func (e launchdarklyEntry) flag() string {
	if e.current != nil && e.current.Key != "" {
		return e.current.Key
	}
	for _, a := range e.Accesses {
		if _, key, ok := strings.Cut(a.Resource, ":flag/"); ok {
			key, _, _ = strings.Cut(key, ";")
			return key
		}
	}
	return ""
}

// rules are those in force in an environment. Without the flag, which old
// webhooks leave out, they are what the title says, if it says on or off.
func (m launchdarklyMessage) rules() map[string]any {
	if rules := m.current.rules(m.name); rules != nil {
		return rules
	}
	switch {
	case strings.HasPrefix(m.TitleVerb, "turned on"):
		return map[string]any{"on": 100}
	case strings.HasPrefix(m.TitleVerb, "turned off"):
		return map[string]any{"off": 100}
	}
	return nil
}

// rules map variants to the percent that all get, and those that only some get
// to who gets them. Nil: nothing is known of that environment.
func (f *launchdarklyFlag) rules(environment string) map[string]any {
	if f == nil {
		return nil
	}
	e, ok := f.Environments[environment]
	if !ok {
		return nil
	}
	if !e.On {
		return map[string]any{cmp.Or(f.variant(e.Off), "off"): 100}
	}
	segments := map[string][]string{}
	give := func(serve launchdarklyServe, whom string) {
		f.shares(serve, func(variant string, _ float64) { segments[variant] = append(segments[variant], whom) })
	}
	for _, t := range e.Targets {
		give(launchdarklyServe{Variation: t.Variation}, strconv.Itoa(len(t.Values))+" targets")
	}
	for _, r := range e.Rules {
		give(r.launchdarklyServe, r.words())
	}
	rules := map[string]any{}
	for variant, whom := range segments {
		rules[variant] = brief(strings.Join(whom, "; "))
	}
	f.shares(e.Fallthrough, func(variant string, percent float64) { rules[variant] = percent })
	return rules
}

// shares yields the variants and percents that serve gives anything to.
func (f *launchdarklyFlag) shares(serve launchdarklyServe, yield func(string, float64)) {
	if name := f.variant(serve.Variation); name != "" {
		yield(name, 100)
	}
	if serve.Rollout == nil {
		return
	}
	for _, v := range serve.Rollout.Variations {
		if name := f.variant(&v.Variation); name != "" && v.Weight > 0 {
			yield(name, math.Round(float64(v.Weight))/1000)
		}
	}
}

// variant is a variation's name, else its value.
func (f *launchdarklyFlag) variant(index *int) string {
	if index == nil || *index < 0 || *index >= len(f.Variations) {
		return ""
	}
	v := f.Variations[*index]
	var text string
	if json.Unmarshal(v.Value, &text) != nil {
		text = string(v.Value)
	}
	return cmp.Or(v.Name, text)
}

// words say whom a rule is for: its description, else its clauses.
func (r launchdarklyRule) words() string {
	if r.Description != "" {
		return brief(r.Description)
	}
	var all []string
	for _, c := range r.Clauses {
		op := c.Op
		if c.Negate {
			op = "not " + op
		}
		all = append(all, strings.TrimSpace(c.Attribute+" "+op+" "+strings.Join(c.Values, ", ")))
	}
	return cmp.Or(brief(strings.Join(all, " and ")), "a rule")
}

func launchdarklyRules() []rule[launchdarklyMessage] {
	type m = launchdarklyMessage
	return []rule[m]{{
		from: "flag", when: "in each environment of `accesses[].resource` whose rules are known", to: "flag.changed",
		is:   func(m m) bool { return m.rules() != nil },
		id:   field[m]{doc: "auditlog/`_id`/environment", from: func(m m) any { return named("auditlog", m.ID, m.name) }},
		time: field[m]{doc: "`date`", from: func(m m) any { return epoch(m.Date) }},
		fields: []field[m]{
			{"flag", "`currentVersion.key`, else of `accesses[].resource`", func(m m) any { return m.flag() }},
			{"environment", "of `accesses[].resource`", func(m m) any { return m.name }},
			{"services", "the hint", func(m m) any {
				if m.hint("service") == "" {
					return nil
				}
				return []string{m.hint("service")}
			}},
			{"rules", "of `currentVersion.environments`: the off variation, or the shares of the fallthrough in percent, and for variants that only rules and targets give, whom to; without it `titleVerb`: turned on, turned off", func(m m) any { return m.rules() }},
			{"previous", "the same of `previousVersion`", func(m m) any { return m.previous.rules(m.name) }},
			{"changed_by", "`member.email`, else `token.name`", func(m m) any { return cmp.Or(m.Member.Email, m.Token.Name) }},
		},
	}}
}
