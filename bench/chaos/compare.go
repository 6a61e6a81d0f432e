package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/whencehq/whence/pipeline/oracle"
	"github.com/whencehq/whence/schemas/event"
)

// differences are what is wrong with the tables, in words. They are collected
// and not reported, because a check of the harness wants to see them.
type differences []string

func (d *differences) add(format string, arguments ...any) {
	*d = append(*d, fmt.Sprintf(format, arguments...))
}

func (d differences) String() string {
	const most = 20
	if len(d) > most {
		return strings.Join(d[:most], "\n") + fmt.Sprintf("\n... and %d more", len(d)-most)
	}
	return strings.Join(d, "\n")
}

// counts compares what can be counted, everywhere, within seconds. All must be
// quiet.
func (s *system) counts() differences {
	s.Helper()
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	var d differences
	r := s.record
	s.rawCounts(&d)
	for _, c := range []struct {
		what, question string
		want           int
	}{
		{"observations, one an identity", "SELECT count() FROM whence.observations FINAL", r.contents()},
		{"facts, one an identity", "SELECT count() FROM whence.facts FINAL", len(identities(r.facts))},
		{"other events", "SELECT count() FROM whence.other_events FINAL", len(r.others)},
		{"sums in the ledger that are wrong", "SELECT count() FROM whence_state.batches FINAL WHERE records != stored + dead + dropped OR to_offset - from_offset != records", 0},
		{"observations in the ledger", "SELECT toUInt64(sum(observations)) FROM whence_state.batches FINAL", r.observations},
		{"dead letters in the ledger", "SELECT toUInt64(sum(dead)) FROM whence_state.batches FINAL", len(r.dead)},
	} {
		if have := s.number(c.question); have != int64(c.want) {
			d.add("%d %s, want %d", have, c.what, c.want)
		}
	}
	s.deadLetters(&d)
	s.ledger(&d)
	return d
}

// sums are of the rows that a view's target has, or ought to have.
type sums struct{ rows, worth, offsets int64 }

func (a sums) minus(b sums) sums {
	return sums{a.rows - b.rows, a.worth - b.worth, a.offsets - b.offsets}
}

func (a sums) String() string {
	return fmt.Sprintf("%d rows, %d their values, %d their offsets", a.rows, a.worth, a.offsets)
}

// rawCounts compares what was ever inserted with what was published, but for what
// full disks have cost, to the row.
//
// A disk that is full costs the target of a view rows of its own, because Whence
// knows its own tables only and mends these. The engine writes a part's token down
// before it puts the part in its place; where there is no space for the second, the
// retry's block is dropped under the token that is left. Of whence.observations
// Whence asks what is missing then, and stores that under another token, marked as
// rewritten, for views have seen it: they were handed it, and the target has lost it
// in the same way, or had its part taken off at the next start. So what is missing
// after the round with the full disk stays missing, and nothing else does.
func (s *system) rawCounts(d *differences) {
	r := s.record
	published := sums{int64(r.observations), int64(r.worth), r.offsets}
	var have sums
	answer := s.ask("SELECT count(), toInt64(sum(value)), sum(offset) FROM whence_state.raw")
	if _, err := fmt.Sscan(answer, &have.rows, &have.worth, &have.offsets); err != nil {
		s.Fatalf("sums of what was inserted: %q: %v", answer, err)
	}
	if r.unplaced > 0 {
		have.offsets = published.offsets - s.lost.offsets // nobody knows what they are to be
	}
	lost := published.minus(have)
	if lost == s.lost && !s.filled {
		return
	}
	if more := lost.minus(s.lost); s.filled && (more == sums{} || more.rows > 0 && more.worth >= 0 && more.offsets >= 0) {
		s.lost = lost
		s.Logf("full disks have cost a view's target: %s", lost)
	} else {
		d.add("ever inserted: %s; published: %s; of that full disks have cost: %s", have, published, s.lost)
	}
	s.filled = false
	for line := range strings.Lines(s.ask(`SELECT topic, partition, min(offset), max(offset), count(), any(times) FROM
		(SELECT topic, partition, offset, id, count() AS times FROM whence_state.raw GROUP BY topic, partition, offset, id HAVING times > 1)
		GROUP BY topic, partition LIMIT 5`)) {
		d.add("inserted more than once (topic, partition, first and last offset, how many, how often): %s", strings.Join(strings.Fields(line), " "))
	}
}

// identities are the facts that count by R1.
func identities(facts []event.Fact) map[[3]string]event.Fact {
	kept := map[[3]string]event.Fact{}
	for _, f := range facts {
		k := [3]string{f.Source, f.ID, f.Type}
		if other, there := kept[k]; !there || f.Hash > other.Hash {
			kept[k] = f
		}
	}
	return kept
}

// deadLetters compares every one of them by its place, reason, content type and
// bytes.
func (s *system) deadLetters(d *differences) {
	var have, want []string
	for line := range strings.Lines(s.ask(`SELECT hex(toFixedString(UUIDStringToNum(toString(topic_id)), 16)), partition, offset, reason,
			headers['content-type'], if(value IS NULL, 'none', toString(xxHash64(assumeNotNull(value)))) FROM whence.dead_letters FINAL`)) {
		have = append(have, strings.Join(strings.Fields(line), " "))
	}
	for p, letter := range s.record.dead {
		want = append(want, fmt.Sprintf("%X %d %d %s", p.id, p.number, p.offset, letter))
	}
	slices.Sort(have)
	slices.Sort(want)
	if slices.Equal(have, want) {
		return
	}
	d.add("dead letters differ: %d stored, %d published; only stored: %v; only published: %v", len(have), len(want), only(have, want), only(want, have))
}

// only are a few of what is in a and not in b, both sorted.
func only(a, b []string) (some []string) {
	for _, x := range a {
		if _, there := slices.BinarySearch(b, x); !there && len(some) < 3 {
			some = append(some, x)
		}
	}
	return some
}

// ledger compares the ledger with what was published: each partition from its
// first record to its last, without a hole or an overlap.
func (s *system) ledger(d *differences) {
	type span struct {
		first, last, records int64
		breaks               int64
	}
	have := map[string]span{}
	answer := s.ask(`SELECT hex(toFixedString(UUIDStringToNum(toString(topic_id)), 16)) AS id, partition,
			min(from_offset) AS first, max(to_offset) AS last, sum(records) AS records, countIf(from_offset != before) AS breaks
		FROM (SELECT *, lagInFrame(to_offset, 1, from_offset) OVER (PARTITION BY topic_id, partition ORDER BY from_offset, to_offset
				ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before FROM whence_state.batches FINAL)
		GROUP BY topic_id, partition FORMAT JSONEachRow`)
	for decoder := json.NewDecoder(strings.NewReader(answer)); decoder.More(); {
		var row struct {
			ID                           string
			Partition                    int32
			First, Last, Records, Breaks int64
		}
		if err := decoder.Decode(&row); err != nil {
			s.Fatal(err)
		}
		have[fmt.Sprintf("%s/%d", row.ID, row.Partition)] = span{row.First, row.Last, row.Records, row.Breaks}
	}
	for p, n := range s.record.records {
		got := have[p.key()]
		if want := (span{0, s.record.ends[p], n, 0}); got != want {
			d.add("ledger of %s: [%d, %d) with %d records and %d breaks, published [0, %d) with %d", p, got.first, got.last, got.records, got.breaks, want.last, n)
		}
	}
	for key, got := range have { // the context log, and inputs alike
		if got.breaks > 0 || got.first != 0 {
			d.add("ledger of %s: begins at %d, %d breaks", key, got.first, got.breaks)
		}
	}
}

// everything compares all that the package's documentation says is compared. All
// must be quiet.
func (s *system) everything() differences {
	s.Helper()
	d := s.counts()
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.rows(&d)
	s.images(&d)
	s.kept(&d)
	s.places(&d)
	s.conflicts(&d)
	s.verify(&d)
	return d
}

// places checks that no record was inserted twice, by its place.
func (s *system) places(d *differences) {
	if n := s.number(`SELECT count() FROM (SELECT topic, partition, offset, id FROM whence_state.raw
		GROUP BY topic, partition, offset, id HAVING count() > 1)`); n > 0 {
		d.add("%d records were inserted more than once", n)
	}
}

// conflicts compares the contents that lost to a greater one.
func (s *system) conflicts(d *differences) {
	kept := identities(s.record.facts)
	lost := map[string]bool{}
	for _, f := range s.record.facts {
		if winner := kept[[3]string{f.Source, f.ID, f.Type}]; f.Hash != winner.Hash {
			lost[fmt.Sprintf("%s %s %s kept %d lost %d", f.Source, f.ID, f.Type, winner.Hash, f.Hash)] = true
		}
	}
	var have, want []string
	for line := range strings.Lines(s.ask("SELECT format('{} {} {} kept {} lost {}', source, id, type, toString(kept_hash), toString(lost_hash)) FROM whence.conflicts FINAL")) {
		have = append(have, strings.TrimSuffix(line, "\n"))
	}
	for c := range lost {
		want = append(want, c)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		d.add("conflicts differ: %d stored, want %d; only stored: %v; only expected: %v", len(have), len(want), only(have, want), only(want, have))
	}
}

// verify asks `whence verify`, which computes everything once more in SQL from
// the events as they are stored.
func (s *system) verify(d *differences) {
	out, failed := s.try("verify", "--json", "--clickhouse", "http://"+s.address)
	var report oracle.Report
	if at := strings.Index(out, "{"); at < 0 || json.NewDecoder(strings.NewReader(out[at:])).Decode(&report) != nil {
		d.add("whence verify: %v: %.2000s", failed, out)
		return
	}
	for _, c := range report.Columns {
		d.add("verify: %s: %s differs in %d rows: %+v", c.Area, c.Name, c.Differing, c.Examples)
	}
	for _, trouble := range report.Troubles {
		d.add("verify: %+v", trouble)
	}
	if report.Unsettled != 0 || report.Waiting != 0 || !report.Vitals || report.Observations != uint64(s.record.contents()) {
		d.add("verify: not everything was looked at: %+v", report)
	}
}
