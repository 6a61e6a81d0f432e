package learn

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"github.com/whencehq/whence/processors/correlate"
)

// Case is one incident of which people said what caused it.
type Case struct {
	Incident string
	Example  correlate.Example
	// Rank is the highest at which a confirmed cause was shown; 0: one was looked
	// up without being shown.
	Rank int
}

// Why an incident can't be learned from.
const (
	notRanked    = "the incident was never ranked"
	notAmong     = "the confirmed cause was not among the hypotheses shown"
	nothingElse  = "no other hypothesis was shown"
	evidenceless = "the ranking says nothing of its evidence"
)

// Skipped is how many incidents can't be learned from, by reason.
type Skipped map[string]int

// cause is what a person confirmed.
type cause struct {
	Kind, ID string
	Rank     int // at which it was shown, 0: it was not
}

// is says whether a hypothesis is the cause. Changes of all kinds share their
// ids, and people say change where Whence says migration.
func (c cause) is(kind, id string) bool {
	if c.Kind == correlate.None || c.ID == "" {
		return kind == correlate.None
	}
	return id == c.ID && (kind == c.Kind || isChange(kind) && isChange(c.Kind))
}

func isChange(kind string) bool {
	return slices.Contains([]string{correlate.Change, correlate.Configuration, correlate.Migration, correlate.Infrastructure}, kind)
}

// shown is one hypothesis of the ranking that people saw.
type shown struct {
	Kind, ID string
	Terms    []correlate.Term
}

// caseOf puts a case together. Of several causes that were confirmed any one
// will do. The reason is empty where it can be learned from.
func caseOf(incident string, causes []cause, hypotheses []shown) (c Case, reason string) {
	c = Case{Incident: incident, Rank: math.MaxInt}
	evidence := 0
	confirmed := map[int]bool{}
	for i, h := range hypotheses {
		values := make(map[string]float64, len(h.Terms))
		for _, t := range h.Terms {
			values[t.Name] = t.Value
			evidence++
		}
		c.Example.Hypotheses = append(c.Example.Hypotheses, values)
		for _, cause := range causes {
			if cause.is(h.Kind, h.ID) {
				confirmed[i] = true
				c.Rank = min(c.Rank, max(0, cause.Rank))
			}
		}
	}
	for i := range hypotheses {
		if confirmed[i] {
			c.Example.True = append(c.Example.True, i)
		}
	}
	switch {
	case len(hypotheses) == 0:
		return c, notRanked
	case len(confirmed) == 0:
		return c, notAmong
	case len(hypotheses) == len(confirmed):
		return c, nothingElse
	case evidence == 0:
		return c, evidenceless
	}
	return c, ""
}

// importance is how much a case counts: the inverse of how likely a true cause
// at its rank gets confirmed. One that was looked up was not found by its rank.
func (c *Case) importance(eta, least float64) float64 {
	if c.Rank <= 1 {
		return 1
	}
	return 1 / max(least, math.Pow(float64(c.Rank), -eta))
}

// heldBack says whether a case belongs to the share that is never learned from.
// It follows from the incident's id alone: each time it is the same, and of a
// greater share it is a part.
func (c *Case) heldBack(share float64) bool {
	sum := sha256.Sum256([]byte(c.Incident))
	return float64(binary.BigEndian.Uint64(sum[:]))/math.Exp2(64) < share
}
