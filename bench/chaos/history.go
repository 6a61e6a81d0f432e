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

// kept checks that of every row that was corrected an image is there from before. A
// row is taken for corrected if it was written again at a revision that no batch
// with its record was entered at: a batch in doubt, of which rows were missing, has
// written these again too, at its own. An image is of the same content, and of a
// revision before the row's. It need not be of the one that the row was first stored
// at: two workers may have enriched the batch, and the ledger names one of them; and
// what another one's rewrite said for a moment is in no history (pipeline/DESIGN.md,
// "Not there yet").
func (s *system) kept(d *differences) {
	s.Helper()
	const row = "cityHash64(source, id, name, service, environment, time, content_hash) AS row"
	again := s.number("SELECT count() FROM whence.observations FINAL WHERE rewritten = 1")
	images := s.number("SELECT count() FROM whence.observations_history")
	s.Logf("%d rows were written again, %d images kept", again, images)
	if corrected := s.number("SELECT toInt64(sum(corrected)) FROM whence_state.reconciled"); corrected > 0 && images == 0 {
		d.add("%d rows were corrected and no image is kept", corrected)
	}
	for line := range strings.Lines(s.ask(`SELECT r.id, r.revision, max(b.revision) AS entered FROM
		(SELECT o.id AS id, o.topic AS topic, o.partition AS partition, o.offset AS offset, o.revision AS revision FROM
			(SELECT id, topic, partition, offset, revision, ` + row + ` FROM whence.observations FINAL WHERE rewritten = 1) AS o
			LEFT JOIN (SELECT ` + row + `, min(revision) AS earliest FROM whence.observations_history GROUP BY row) AS h ON h.row = o.row
			WHERE h.row = 0 OR h.earliest >= o.revision) AS r
		INNER JOIN whence_state.batches AS b ON b.topic = r.topic AND b.partition = r.partition
		WHERE b.from_offset <= r.offset AND r.offset < b.to_offset
		GROUP BY r.id, r.revision HAVING r.revision > entered LIMIT 5`)) {
		d.add("corrected, and no image of before is kept (id, revision, its batch's): %s", strings.Join(strings.Fields(line), " "))
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
