package statespace

import "fmt"

// wrong tells whether a row of record i that was enriched at revision r says
// something else than one at revision upto would. It is right about the facts
// up to r; what they say does not matter.
func wrong(i, r, upto uint8) bool {
	for f := r + 1; f <= upto; f++ {
		if concerns(f, i) {
			return true
		}
	}
	return false
}

// concerns: fact 1 changes every record, fact 2 every other one.
func concerns(fact, i uint8) bool { return fact == 1 || i%2 == 0 }

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
			case resting && row.Told > 0 && wrong(uint8(i), row.Told-1, s.Cursor):
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
			if wrong(uint8(i), row.Told-1, s.Facts) {
				return fmt.Errorf("record %d of partition %d says what was known at revision %d", i, p, row.Told-1)
			}
		}
	}
	return nil
}
