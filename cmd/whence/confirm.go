package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/cmd/whence/why"
	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/schemas/codec"
)

func newConfirm() *cobra.Command {
	var c clickHouseFlags
	var k kafkaFlags
	var by string
	var withdraw, force, asJSON bool
	cmd := &cobra.Command{
		Use:   "confirm INCIDENT CAUSE",
		Short: "Say what caused an incident",
		Long: `confirm publishes a cause.confirmed event: what a person found to be the cause of
an incident. Models of causes learn from it, and measures count confirmed causes
apart from inferred ones.

CAUSE is kind:id (deployment:payments-4.2.0, flag:short-form, undeclared:SERVICE), or
an id alone if one hypothesis about the incident has it, or none: no change
caused it. To refute what whence why puts first, confirm what it was instead, or
none: the event says which rank the confirmed cause was shown at.

The same again by the same person is the same event, and is not published twice:
confirm returns when the event is stored, or after --timeout.
Two causes may both be confirmed, for both may be true; --withdraw takes one back.
A cause or an incident that nothing is known of is refused, for it is likely
misspelt; --force says it anyway.`,
		Example: `  whence confirm inc-310 deployment:payments-4.2.0
  whence confirm inc-310 none --by ines
  whence confirm inc-310 flag:short-form --withdraw`,
		Args: exactly("INCIDENT", "CAUSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := k.config()
			if err != nil {
				return err
			}
			if by = cmp.Or(by, userName()); by == "" {
				return usagef("--by is missing: nobody says who confirms it")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), k.timeout)
			defer cancel()
			said := &confirmation{Incident: args[0], By: by, withdraw: withdraw, force: force}
			if err := said.prepare(ctx, c.or(cfg, k.file != ""), args[1]); err != nil {
				return err
			}
			if line := said.event(time.Now()); line != nil {
				if err := publishOne(ctx, cfg.Kafka, line, k.timeout, cmd.ErrOrStderr()); err != nil {
					return err
				}
				said.awaitStored(ctx, c.or(cfg, k.file != ""))
			}
			return said.tell(cmd.OutOrStdout(), asJSON)
		},
	}
	k.add(cmd)
	c.add(cmd)
	f := cmd.Flags()
	f.StringVar(&by, "by", "", "`NAME` of who found it (default: you, as the system knows you)")
	f.BoolVar(&withdraw, "withdraw", false, "take back that this was confirmed")
	f.BoolVar(&force, "force", false, "also what nothing is known of, and without a ClickHouse to ask")
	f.BoolVar(&asJSON, "json", false, "what was recorded as a JSON object")
	return cmd
}

// userName is who runs this.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return os.Getenv("USER")
}

// confirmation is what a person says of an incident.
type confirmation struct {
	Incident  string `json:"incident_id"`
	Kind      string `json:"cause_kind"`
	ID        string `json:"cause_id"`
	RankShown int    `json:"rank_shown"` // 0: it was not shown
	By        string `json:"by"`
	Event     string `json:"event_id"`
	Published bool   `json:"published"` // false: it was so before

	withdraw, force bool

	checked bool   // the tables were asked
	leader  string // what is shown first
	rounds  int    // how often the same was confirmed and withdrawn before
	stands  bool   // it is confirmed now

	unstored bool // it is in Kafka, and not in the tables yet
}

// confirmer is the source of what confirm publishes.
const confirmer = "whence/confirm"

// shownLink is a hypothesis as it is shown now.
type shownLink struct {
	Kind    string `json:"cause_kind"`
	ID      string `json:"cause_id"`
	Service string `json:"service"`
	Rank    int    `json:"rank"`
}

// prepare looks up what is said. With force it need not be known, and nobody need
// be there to ask.
func (s *confirmation) prepare(ctx context.Context, c clickHouseFlags, cause string) error {
	err := withStore(ctx, c, func(ctx context.Context, store *clickhouse.Client) error {
		return s.check(ctx, reading(store), cause)
	})
	if err != nil && s.force && !s.checked {
		return s.unchecked(cause)
	}
	return err
}

// check reads what is known of the incident and the cause.
func (s *confirmation) check(ctx context.Context, ask why.Ask, cause string) error {
	known, err := why.Rows[struct{ Known uint64 }](ctx, ask, `
SELECT (SELECT count() FROM whence.incidents FINAL WHERE incident_id = `+why.Quote(s.Incident)+`) AS known`)
	if err != nil {
		return err
	}
	s.checked = true
	if known[0].Known == 0 && !s.force {
		return s.unknownIncident(ctx, ask)
	}
	links, err := why.Rows[shownLink](ctx, ask, `
SELECT toString(cause_kind) AS cause_kind, cause_id, toString(cause_service) AS service, rank
FROM whence.links WHERE effect_kind = 'incident' AND effect_id = `+why.Quote(s.Incident)+` ORDER BY rank`)
	if err != nil {
		return err
	}
	if len(links) > 0 {
		s.leader = why.Cause(links[0].Kind, links[0].ID)
	}
	if err := s.chosen(links, cause); err != nil {
		return err
	}
	if s.RankShown == 0 && !s.force {
		if err := s.checkCause(ctx, ask); err != nil {
			return err
		}
	}
	return s.readRounds(ctx, ask)
}

func (s *confirmation) unknownIncident(ctx context.Context, ask why.Ask) error {
	hint := "--force says it anyway, for an incident that is published later"
	if near := why.Similar(ctx, ask, s.Incident, "incident"); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, ", ") + "? " + hint
	}
	return &pipeline.Error{Err: fmt.Errorf("no incident has the id %s", s.Incident), Hint: hint}
}

// causeKinds are what a cause may be.
var causeKinds = []string{
	correlate.Deployment, correlate.Change, correlate.Flag, correlate.Configuration, correlate.Migration,
	correlate.Infrastructure, correlate.Provider, correlate.Undeclared,
}

// chosen finds which cause is meant, and where it was shown.
func (s *confirmation) chosen(links []shownLink, cause string) error {
	if cause == correlate.None {
		s.Kind = correlate.None
	} else if kind, id, found := strings.Cut(cause, ":"); found && slices.Contains(causeKinds, kind) {
		if s.Kind, s.ID = kind, id; id == "" {
			return usagef("CAUSE: want %s:ID, have %q", kind, cause)
		}
	} else if err := s.bare(links, cause); err != nil {
		return err
	}
	for _, l := range links {
		if l.Kind == s.Kind && l.ID == s.ID {
			s.RankShown = l.Rank
		}
	}
	return nil
}

// bare finds the hypothesis that has an id, whatever its kind.
func (s *confirmation) bare(links []shownLink, id string) error {
	var fitting, all []string
	for _, l := range links {
		all = append(all, why.Cause(l.Kind, l.ID))
		if l.ID == id && l.Kind != correlate.None {
			s.Kind, s.ID = l.Kind, l.ID
			fitting = append(fitting, why.Cause(l.Kind, l.ID))
		}
	}
	switch {
	case len(fitting) == 1:
		return nil
	case len(fitting) > 1:
		return usagef("CAUSE: %s is more than one thing, say %s", id, strings.Join(fitting, " or "))
	}
	hint := "say its kind: " + strings.Join(causeKinds, ":ID, ") + ":ID, or none"
	if len(all) > 0 {
		hint = "shown are " + strings.Join(all[:min(len(all), 5)], ", ") + "; of anything else say the kind, as deployment:ID"
	}
	return &pipeline.Error{Err: fmt.Errorf("no hypothesis about %s has the id %s", s.Incident, id), Hint: hint}
}

// checkCause refuses a cause that nothing is known of. One that was not among the
// hypotheses is welcome: from such the models learn most.
func (s *confirmation) checkCause(ctx context.Context, ask why.Ask) error {
	if s.Kind == correlate.None || s.Kind == correlate.Undeclared {
		return nil
	}
	kind := s.Kind
	switch kind {
	case correlate.Configuration, correlate.Migration, correlate.Infrastructure:
		kind = correlate.Change
	}
	facts, err := why.Rows[struct{ Known uint64 }](ctx, ask,
		"SELECT count() AS known FROM whence.facts_history(kind = "+why.Quote(kind)+", entity = "+why.Quote(s.ID)+") WHERE counts")
	if err != nil || facts[0].Known > 0 {
		return err
	}
	hint := "--force says it anyway"
	if near := why.Similar(ctx, ask, s.ID, s.Kind); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, ", ") + "? " + hint
	}
	return &pipeline.Error{Err: fmt.Errorf("no %s has the id %s", s.Kind, s.ID), Hint: hint}
}

// readRounds reads whether the same was confirmed before, and stands.
func (s *confirmation) readRounds(ctx context.Context, ask why.Ask) error {
	said, err := why.Rows[struct {
		ID     string
		Stands bool
	}](ctx, ask, `
SELECT id, toBool(max(counts)) AS stands FROM whence.facts_history(kind = 'cause', entity = `+why.Quote(s.Incident)+`)
WHERE source = `+why.Quote(confirmer)+` AND startsWith(id, `+why.Quote(s.base())+`)
GROUP BY id`)
	if err != nil {
		return err
	}
	for _, event := range said {
		if event.Stands {
			s.stands = true
		} else {
			s.rounds++
		}
	}
	return nil
}

// awaitStored waits until the tables know what was published. Whoever says the
// same again before that would publish it with another time: one event in two
// contents. It is in Kafka whatever becomes of the wait, so that is no error.
func (s *confirmation) awaitStored(ctx context.Context, c clickHouseFlags) {
	if !s.checked {
		return
	}
	s.unstored = true
	_ = withStore(ctx, c, func(ctx context.Context, store *clickhouse.Client) error {
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for {
			now := &confirmation{Incident: s.Incident, Kind: s.Kind, ID: s.ID, By: s.By}
			if err := now.readRounds(ctx, reading(store)); err == nil && now.stands != s.withdraw {
				s.unstored = false
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ticks.C:
			}
		}
	})
}

// unchecked is check where nothing can be asked.
func (s *confirmation) unchecked(cause string) error {
	s.stands = s.withdraw // nobody knows better
	err := s.chosen(nil, cause)
	var bare *pipeline.Error
	if errors.As(err, &bare) {
		return usagef("CAUSE: say its kind, as deployment:%s: there is no ClickHouse to look it up in", cause)
	}
	return err
}

// base is the id of the event: the same for the same incident, cause and person,
// so that saying it twice is saying it once.
func (s *confirmation) base() string {
	return statementID(s.Incident, s.Kind, s.ID, s.By)
}

// statementID is the id of an event by which a person says something: the same
// for the same words.
func statementID(words ...string) string {
	text, _ := json.Marshal(words)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// event is what has to be published, as a line of JSON; nil: nothing, it is so
// already. What was withdrawn can be said anew, as another event: what a
// retraction names is unsaid for good.
func (s *confirmation) event(now time.Time) []byte {
	s.Event = s.base()
	if s.rounds > 0 {
		s.Event = fmt.Sprintf("%s-%d", s.Event, s.rounds+1)
	}
	if s.stands != s.withdraw {
		return nil
	}
	s.Published = true
	data := map[string]any{"incident_id": s.Incident, "cause_kind": s.Kind, "cause_id": s.ID, "by": s.By}
	if s.RankShown > 0 {
		data["rank_shown"] = s.RankShown
	}
	if s.withdraw {
		return retraction(confirmer, s.Event, s.By, now)
	}
	return statement(confirmer, s.Event, "io.whence.cause.confirmed", data, now)
}

// statement is an event by which a person says something, as a line of JSON.
func statement(source, id, typ string, data map[string]any, now time.Time) []byte {
	line, _ := json.Marshal(map[string]any{
		"specversion": "1.0", "source": source, "id": id, "type": typ,
		"time": now.UTC().Format("2006-01-02T15:04:05.000Z"), "datacontenttype": "application/json", "data": data,
	}) // strings and numbers
	return line
}

// retraction takes a statement back.
func retraction(source, id, by string, now time.Time) []byte {
	return statement(source, id+"-withdrawn", "io.whence.fact.retracted",
		map[string]any{"retracts": map[string]any{"source": source, "id": id}, "reason": "withdrawn", "by": by}, now)
}

// publishOne sends an event and waits until Kafka has it.
func publishOne(ctx context.Context, cfg config.Kafka, line []byte, timeout time.Duration, stderr io.Writer) error {
	conn, err := kafka.Configured(cfg, zap.NewNop())
	if err != nil {
		return err
	}
	to, err := kafka.OpenPublisher(conn, timeout)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := to.Reach(ctx, tellRetries(stderr)); err != nil {
		return err
	}
	p := &producer{to: to, failed: make(chan error, 1), publish: publication{prefix: cfg.Topics.Prefix, format: codec.BinaryMsgpack}}
	if err := p.send(ctx, line); err != nil {
		return err
	}
	return p.flush(ctx)
}

// tell says what was recorded.
func (s *confirmation) tell(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	what := "no change caused " + s.Incident
	if s.Kind != correlate.None {
		what = fmt.Sprintf("%s caused %s", why.Cause(s.Kind, s.ID), s.Incident)
	}
	var line string
	switch {
	case s.withdraw && !s.Published:
		line = fmt.Sprintf("nothing to take back: %s has not said that %s", s.By, what)
	case s.withdraw:
		line = fmt.Sprintf("taken back: %s no longer says that %s", s.By, what)
	case !s.Published:
		line = fmt.Sprintf("it was recorded before: %s, says %s", what, s.By)
	default:
		line = fmt.Sprintf("recorded: %s, says %s (%s)", what, s.By, s.shown())
	}
	if s.unstored {
		line += "; no worker has stored it yet"
	}
	_, err := fmt.Fprintln(w, display.Line(line))
	return err
}

// shown is where the cause was shown, and what was shown instead.
func (s *confirmation) shown() string {
	switch {
	case s.leader == "":
		return "nothing was shown: the incident is not ranked"
	case s.RankShown == 1:
		return "it was shown first"
	case s.RankShown > 1:
		return fmt.Sprintf("it was shown at rank %d; that refutes %s, shown first", s.RankShown, s.leader)
	}
	return fmt.Sprintf("it was not shown; that refutes %s, shown first", s.leader)
}
