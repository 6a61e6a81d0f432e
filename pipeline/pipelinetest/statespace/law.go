package statespace

import "fmt"

// wrong tells whether a row of record i that was enriched at revision r says
// something else than one at revision upto would. It is right about the facts up
// to r, however few of these are closed.
func (m Protocol) wrong(i, r, upto uint8) bool { return r < upto && m.says(i, r) != m.says(i, upto) }

// outdated tells whether a row says what no revision says from the cursor on: a
// pass takes what is known when it comes to the row.
func (m Protocol) outdated(i, r uint8, s System) bool {
	for y := s.Cursor; y <= s.Facts; y++ {
		if !m.wrong(i, r, y) {
			return false
		}
	}
	return true
}

// says is what a row of record i says that was enriched at revision r: how many
// facts concern it, or, where facts undo each other, whether that is odd. What a
// resolution does to an incident, or a retraction to anything, is such a fact.
func (m Protocol) says(i, r uint8) (value uint8) {
	for f := uint8(1); f <= r; f++ {
		if concerns(f, i) {
			value++
		}
	}
	if m.Undoing {
		value %= 2
	}
	return value
}

// concerned tells whether a pass has to look at record i that closes the facts
// after r, up to upto.
func concerned(i, r, upto uint8) bool {
	for f := r + 1; f <= upto; f++ {
		if concerns(f, i) {
			return true
		}
	}
	return false
}

// concerns: facts 1 and 3 change every record, fact 2 every other one.
func concerns(fact, i uint8) bool { return fact%2 == 1 || i%2 == 0 }

// Always holds in every state: law 2 and what a closed fact promises.
func (m Protocol) Always(s System) error {
	resting := s.Passes == [passes]Pass{}
	for p := range s.Partitions[:m.Partitions] {
		part := &s.Partitions[p]
		if err := part.contiguous(); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		for i, row := range part.Rows[:m.Records] {
			switch {
			case row.Raw > 1:
				return fmt.Errorf("record %d of partition %d is stored twice", i, p)
			case row.Told == 0 && i < int(part.Commit.Offset):
				return fmt.Errorf("record %d of partition %d is committed and not stored", i, p)
			case resting && row.Told > 0 && m.outdated(uint8(i), row.Told-1, s):
				return fmt.Errorf("the facts up to %d are closed, and record %d of partition %d is stored as of revision %d for good", s.Cursor, i, p, row.Told-1)
			case resting && row.Missing != 0:
				return fmt.Errorf("record %d of partition %d once said what is in no history", i, p)
			}
		}
	}
	return nil
}

// contiguous tells whether the ranges of the ledger follow each other.
// (clickhouse.Client.LedgerGaps asks that of the table.)
func (p *Partition) contiguous() error {
	var end uint8
	for n := range uint8(ranges) { // in the order of their ends
		from, to := bounds(n)
		switch {
		case !p.Ledger.has(n):
		case from != end:
			return fmt.Errorf("in the ledger [%d, %d) comes after what ends at %d", from, to, end)
		default:
			end = to
		}
	}
	return nil
}

// Quiet holds where nothing but faults can happen: law 1.
func (m Protocol) Quiet(s System) error {
	if s.Cursor != s.Facts {
		return fmt.Errorf("the facts from %d to %d are not closed", s.Cursor+1, s.Facts)
	}
	for p := range s.Partitions[:m.Partitions] {
		part := &s.Partitions[p]
		if int(part.Commit.Offset) != m.Records || part.Commit.End > 0 {
			return fmt.Errorf("partition %d stands at offset %d", p, part.Commit.Offset)
		}
		for i, row := range part.Rows[:m.Records] {
			if row.Raw != 1 {
				return fmt.Errorf("record %d of partition %d is stored %d times", i, p, row.Raw)
			}
			if m.wrong(uint8(i), row.Told-1, s.Facts) {
				return fmt.Errorf("record %d of partition %d says what was known at revision %d", i, p, row.Told-1)
			}
		}
	}
	return nil
}
