package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/schemas/event"
)

// images compares what rows said before they were corrected, and what they say
// now, with what was known at the revision that they carry: what the model
// answers from the facts up to it. Of some revisions, of each service a few.
func (s *system) images(d *differences) {
	s.Helper()
	known := s.known(d)
	c := &comparison{system: s, differences: d}
	for _, table := range []string{"whence.observations_history", "whence.observations"} {
		before, revision := c.compared, uint64(0)
		question := fmt.Sprintf(`SELECT id, content_hash, %[1]s FROM
			(SELECT * FROM %[2]s
				WHERE revision IN (SELECT revision FROM (SELECT DISTINCT revision FROM %[2]s) ORDER BY cityHash64(revision) LIMIT 50)
				LIMIT 5 BY revision, service, environment)
			ORDER BY revision`, enrichedColumns, table)
		err := s.stream(question, func(in *rowReader) {
			id, hash, said := in.text(), uint64(in.number()), in.enrichment()
			if in.err != nil {
				return
			}
			if c.answers == nil || said.Revision != revision {
				revision = said.Revision
				upTo, _ := slices.BinarySearchFunc(known, revision+1, func(f event.Fact, at uint64) int { return cmp.Compare(f.Revision, at) })
				c.answers = model.NewAnswers(known[:upTo])
			}
			c.image(table, id, hash, &said)
		})
		if err != nil {
			s.Fatal(err)
		}
		c.answers = nil
		s.Logf("%d rows of %s compared with what was known then", c.compared-before, table)
	}
}

func (c *comparison) image(table, id string, hash uint64, said *event.Enrichment) {
	c.compared++
	n, published := c.identify(id)
	if !published {
		c.report("%s: a row that nobody has published: %s", table, id)
		return
	}
	of := c.world.Observation(n)
	if own, twin := c.world.Hashes(n); hash == twin && hash != own {
		of = c.world.Twin(n)
	}
	if answer := c.answers.Of(of); !sameEnrichment(said, &answer) {
		c.report("%s: observation %d as of revision %d\nhave %s\nwant %s", table, n, said.Revision, enriched(said), enriched(&answer))
	}
}

// known are the contents of all facts by when they were said first. The tables
// say when; what was said is the record's.
func (s *system) known(d *differences) []event.Fact {
	key := func(source, id, typ string, hash uint64) string {
		return fmt.Sprintf("%s %s %s %d", source, id, typ, hash)
	}
	revisions := map[string]uint64{}
	for line := range strings.Lines(s.ask("SELECT toString(revision), format('{} {} {} {}', source, id, type, toString(content_hash)) FROM whence_state.fact_contents FINAL FORMAT TSVRaw")) {
		at, content, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		revision, err := strconv.ParseUint(at, 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		revisions[content] = revision
	}
	contents := map[string]event.Fact{}
	for _, f := range s.record.facts {
		contents[key(f.Source, f.ID, f.Type, f.Hash)] = f
	}
	var known []event.Fact
	for content, f := range contents {
		revision, there := revisions[content]
		if !there {
			d.add("a content of a fact is not kept: %s", content)
			continue
		}
		f.Revision = revision
		known = append(known, f)
	}
	if len(revisions) > len(contents) {
		d.add("%d contents of facts are kept, published %d", len(revisions), len(contents))
	}
	slices.SortFunc(known, func(a, b event.Fact) int { return cmp.Compare(a.Revision, b.Revision) })
	return known
}
