package statespace

// store is what ClickHouse does with what was sent to it. What nobody waits for
// any more may arrive or not.
func (m Protocol) store(s System, p uint8, happen Happen[System]) {
	for r := range uint8(revisions) {
		for n := range uint8(ranges) {
			if s.Partitions[p].Sent[n].has(r) {
				m.inserted(s, p, n, r, happen)
			}
		}
		for i := range uint8(m.Records) {
			to := s
			if row := &to.Partitions[p].Rows[i]; row.Rewrites.has(r) {
				row.Rewrites = row.Rewrites.without(r)
				m.write(row, r, 1)
				happen(m.rewriteAwaited(s, p, i, r), to, "record %d of partition %d is rewritten at revision %d", i, p, r)
			}
		}
	}
}

// inserted: the insert of range n, enriched at revision r, arrives. All tables
// of a batch are one here: each has a token of its own over the same range.
func (m Protocol) inserted(s System, p, n, r uint8, happen Happen[System]) {
	to := s
	part := &to.Partitions[p]
	from, end := bounds(n)
	known := part.Ledger.has(n)
	twice := part.Rows[from].Raw > 1
	switch {
	case !known || m.Mutation == NoToken && !twice:
		part.Ledger = part.Ledger.with(n)
		for i := from; i < end; i++ {
			part.Rows[i].Raw = min(part.Rows[i].Raw+1, 2)
			m.write(&part.Rows[i], r, 0)
		}
		happen(insertAwaited(s, p, n), to, "[%d, %d) of partition %d is stored, enriched at revision %d", from, end, p, r)
	case m.Window && part.Commit.Offset >= end:
		// The token is forgotten. It can't be while the batch may be inserted
		// again: the window is longer than a retry takes.
		for i := from; i < end; i++ {
			m.write(&part.Rows[i], r, 0)
		}
		if *part != s.Partitions[p] {
			m.fault(to, happen, "[%d, %d) of partition %d arrives after its token is forgotten, enriched at revision %d", from, end, p, r)
		}
	}
}

func insertAwaited(s System, p, n uint8) Kind {
	for _, w := range s.Workers {
		if h := w.Hands[p]; h.Doing == Inserting && rangeOf(h.From, h.To) == n {
			return Progress
		}
	}
	return Fault
}

func (m Protocol) rewriteAwaited(s System, p, i, r uint8) Kind {
	for _, pass := range s.Passes {
		if pass.Phase == Rewriting && pass.Rewrite == r && pass.At == p*uint8(m.Records)+i {
			return Progress
		}
	}
	return Fault
}

// write puts one more version of a row beside those that are there. Of all of
// them the greatest revision is what a reader gets, and after a merge the only
// one.
func (m Protocol) write(row *Row, r, again uint8) {
	if row.Told > r && m.Mutation != LastWriteWins {
		return
	}
	if row.Told > 0 && row.Told != r+1 && m.asks(row) && !row.Images.has(row.Told-1) {
		row.Missing = row.Missing.with(row.Told - 1)
	}
	row.Told = r + 1
	if m.History > NoHistory {
		row.Again = again
	}
}

// asks tells whether the history must have what the row says now.
func (m Protocol) asks(row *Row) bool {
	return m.History == EverythingSaid || m.History == FirstStored && row.Again == 0
}
