package tables

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed conflicts.sql unsaid.sql seal.sql entities
var statements embed.FS

// kinds says which entity table holds which kind of entity.
var kinds = map[string]string{
	"service": "services", "change": "changes", "deployment": "deployments", "flag": "flags", "alert": "alerts",
	"incident": "incidents", "finding": "findings", "experiment": "experiments", "build": "builds", "test": "tests",
	"artifact": "artifacts", "breach": "breaches",
}

// EntityKinds are the kinds of entities (event.Fact.Kind) that have a table,
// with the table's name.
func EntityKinds() map[string]string { return kinds }

// DeriveEntities is the statement that computes the rows of a kind of entity
// anew from its facts, as of revision, for the given ids; no ids: for all.
// The same text serves both, so that what is kept up to date row by row equals
// a full recomputation.
func DeriveEntities(kind string, revision uint64, ids []string) string {
	touched := "SELECT entity_id FROM whence_state.fact_contents WHERE entity_kind = " + quote(kind)
	if kind == "finding" { // one that only scans speak of has no fact of its own
		touched += " UNION ALL SELECT finding_id FROM whence_state.listed_in"
	}
	if len(ids) > 0 {
		touched = join(ids, func(b *strings.Builder, id string) { b.WriteString(quote(id)) })
	}
	return complete(read("entities/"+kinds[kind]+".sql"), touched, revision)
}

// FindingsListed is the query for the findings that scans list or ever listed:
// those that are touched when one of these scans is. scans are entity ids.
func FindingsListed(scans []string) string {
	return "SELECT DISTINCT finding_id FROM whence_state.listings WHERE number > 0 AND entity_id IN (" +
		join(scans, func(b *strings.Builder, id string) { b.WriteString(quote(id)) }) + ")"
}

// Identity is what several contents of a fact, of any type, have in common.
type Identity struct{ Source, ID string }

// DeriveConflicts is the statement that finds the contents that lost among
// those of the given identities; none: of all.
func DeriveConflicts(identities []Identity) string {
	return complete(read("conflicts.sql"), TupleList(identities), 0)
}

// DeriveUnsaid is the statement that decides anew which retractions count.
func DeriveUnsaid(revision uint64) string { return complete(read("unsaid.sql"), "", revision) }

// TupleList is identities as the right side of IN; none: all there are.
func TupleList(identities []Identity) string {
	if len(identities) == 0 {
		return "SELECT source, id FROM whence_state.identities"
	}
	return join(identities, func(b *strings.Builder, i Identity) {
		b.WriteString("(" + quote(i.Source) + ", " + quote(i.ID) + ")")
	})
}

func read(name string) string {
	text, err := statements.ReadFile(name)
	if err != nil {
		panic(err) // the files are compiled in
	}
	return string(text)
}

func complete(statement, touched string, revision uint64) string {
	return strings.NewReplacer("{touched}", touched, "{revision}", fmt.Sprintf("toUInt64(%d)", revision)).Replace(statement)
}

func join[T any](values []T, write func(*strings.Builder, T)) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		write(&b, v)
	}
	return b.String()
}

// quote makes a string literal. Parameters would be the usual way, but over
// HTTP they travel in the URL, which thousands of ids are too long for.
func quote(s string) string {
	return "'" + literal.Replace(s) + "'"
}

var literal = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`)
