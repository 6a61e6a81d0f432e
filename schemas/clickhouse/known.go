package tables

import (
	"fmt"
	"strings"
)

// KnownAt is the condition that a row of facts_history counted in what was known
// at a moment: a time in RFC 3339.
func KnownAt(moment string) string {
	revision := "(SELECT revision FROM whence.revision_at(moment = " + quote(moment) + "))"
	return "since <= " + revision + " AND ifNull(until > " + revision + ", true)"
}

// EntitiesKnown is the query for entities of a kind as they were known at a
// moment, with the columns of their table, but of the last fact about each only
// its time: what DeriveEntities computes, from the facts that counted then. One
// that nothing was known of has no row. What scans list is known from when Kafka
// took it.
func EntitiesKnown(kind, moment string, ids []string) string {
	said := make([]string, len(ids))
	for i, id := range ids {
		said[i] = fmt.Sprintf(`
    SELECT entity_kind, entity_id, source, id, type, content_hash, time, service, environment, (time, source, id, content_hash) AS ord, true AS live, data,
        received_at, '' AS topic, toInt32(0) AS partition, toInt64(0) AS offset
    FROM whence.facts_history(kind = %s, entity = %s)
    WHERE %s`, quote(kind), quote(id), KnownAt(moment))
	}
	_, query, _ := strings.Cut(DeriveEntities(kind, 0, ids), "INSERT INTO whence."+kinds[kind]+"\n")
	return "SELECT * EXCEPT (last_time), last_time AS time FROM (" + strings.NewReplacer(
		"last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8", "last.4 AS last_time",
		"whence_state.entity_facts", "("+strings.Join(said, "\n    UNION ALL")+")",
		"whence_state.listed_facts", "(SELECT * FROM whence_state.listed_facts WHERE received_at <= parseDateTime64BestEffort("+quote(moment)+", 3, 'UTC'))",
	).Replace(query) + ")"
}
