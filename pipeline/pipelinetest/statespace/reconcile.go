package statespace

// pass is one run of reconcile: it takes the end of its timeline, waits for the
// commits, scans, and then decides, announces, looks, copies and rewrites row by
// row, and closes.
func (m Protocol) pass(s System, r uint8, happen Happen[System]) {
	if s.Passes[r].Phase != Asleep {
		to := s
		if m.Mutation != NoOrphans {
			to.Orphans |= s.Passes[r].Said
		}
		to.Passes[r] = Pass{}
		m.fault(to, happen, "pass %d is broken off", r)
	}
	switch s.Passes[r].Phase {
	case Asleep:
		m.begin(s, r, happen)
	case Commanding:
		m.inform(s, r, happen)
	case Waiting:
		m.await(s, r, happen)
	case Scanning:
		m.scan(s, r, happen)
	case Working:
		m.work(s, r, happen)
	case Decided:
		if s.Passes[r].Command > 0 {
			m.decide(s, r, happen)
			return
		}
		if m.Mutation == LookBeforeAnnouncing {
			m.look(s, r, Announced, happen)
			return
		}
		m.announcePass(s, r, Announced, happen)
	case Announced:
		if m.Mutation == LookBeforeAnnouncing {
			m.announcePass(s, r, Looked, happen)
			return
		}
		m.look(s, r, Looked, happen)
	case Looked:
		m.copy(s, r, happen)
	case Copied:
		m.rewrite(s, r, happen)
	case Rewriting:
		m.rewritten(s, r, happen)
	}
}

func (m Protocol) begin(s System, r uint8, happen Happen[System]) {
	if m.Commands {
		m.beginCommand(s, r, happen)
	}
	for x := s.Cursor + 1; x <= s.Facts; x++ {
		to := s
		next := Pass{Phase: Waiting, From: s.Cursor, Upto: x}
		if m.Mutation == ScanBeforeCommits || m.Mutation == OnTime {
			next.Phase = Scanning
		}
		if m.Mutation == CloseBeforeRewrite {
			to.Cursor = x
		}
		to.Passes[r] = next
		happen(Progress, to, "pass %d begins: it is to close the facts from %d to %d", r, s.Cursor+1, x)
	}
}

// beginCommand: a command corrects whatever rows are there by the facts that are
// stored by then, whoever has closed them or will. It announces that before it asks
// what passes know.
func (m Protocol) beginCommand(s System, r uint8, happen Happen[System]) {
	for k := range s.Facts + 1 {
		to := s
		to.Passes[r] = Pass{Phase: Commanding, Command: 1, Upto: k, Said: Set(0).with(always)}
		if m.Mutation == CommandUnseen {
			to.Passes[r].Said = 0
		}
		m.fault(to, happen, "command %d begins, with the facts up to %d", r, k)
	}
}

// inform: the command asks what passes know, and reads on until it knows as much.
func (m Protocol) inform(s System, r uint8, happen Happen[System]) {
	to := s
	next := &to.Passes[r]
	next.Phase = Scanning
	if m.Mutation != CommandKnowsLess {
		next.From = max(s.Cursor, s.Known, (s.Orphans | s.Passes[1-r].Said).without(always).last())
	}
	happen(Progress, to, "command %d has to know revision %d", r, next.From)
}

// await waits until the commits of all partitions promise revision Upto. They
// are read in one request.
func (m Protocol) await(s System, r uint8, happen Happen[System]) {
	if !m.promised(s, s.Passes[r].Upto) {
		return
	}
	to := s
	to.Passes[r].Phase = Scanning
	if m.Mutation == ScanBeforeCommits {
		m.close(&to, r)
	}
	happen(Progress, to, "pass %d reads that the commits promise revision %d", r, s.Passes[r].Upto)
}

func (m Protocol) promised(s System, x uint8) bool {
	behind := 0
	for _, part := range s.Partitions[:m.Partitions] {
		excused := m.Mutation == IdleNotWaitedFor && part.Commit.End == 0 || m.Unheard && part.Commit == Commit{}
		if part.Commit.Revision < x && !excused {
			behind++
		}
	}
	return behind == 0 || m.Mutation == OnePartitionWaitedFor && behind < m.Partitions
}

// close ends a pass. The cursor only grows.
func (m Protocol) close(to *System, r uint8) {
	x := to.Passes[r].Upto
	if m.Mutation == CloseAtEnd {
		x = to.Facts
	}
	to.Cursor = max(to.Cursor, x)
	if m.Mutation != NoKnown {
		to.Known = max(to.Known, to.Passes[r].Said.last())
	}
	to.Passes[r] = Pass{}
}

// scan finds the rows that the facts (From, Upto] concern and whose revision is
// below Upto. It is one moment: what is stored later is not found.
func (m Protocol) scan(s System, r uint8, happen Happen[System]) {
	p := s.Passes[r]
	next, found := Pass{Phase: Working, Upto: p.Upto, Command: p.Command, Said: p.Said}, 0
	if p.Command > 0 {
		next.From = p.From
	}
	for at := range uint8(m.Partitions * m.Records) {
		if m.row(&s, at).below(p.below()) && (p.Command > 0 || concerned(m.record(at), p.From, p.Upto)) {
			next.Todo = next.Todo.with(at)
			found++
		}
	}
	to := s
	to.Passes[r] = next
	happen(Progress, to, "pass %d finds %d rows below revision %d", r, found, p.Upto)
}

// row at a place: the rows of all partitions are numbered through.
func (m Protocol) row(s *System, at uint8) *Row {
	return &s.Partitions[int(at)/m.Records].Rows[m.record(at)]
}

func (m Protocol) record(at uint8) uint8 { return at % uint8(m.Records) }

// below is the revision below which a pass looks at rows.
func (p *Pass) below() uint8 { return p.Upto + p.Command }

func (row *Row) below(revision uint8) bool { return row.Told > 0 && row.Told-1 < revision }

// work takes any row that is left and asks the timeline, as it is now, what it
// is to say, or closes.
func (m Protocol) work(s System, r uint8, happen Happen[System]) {
	p := s.Passes[r]
	if p.Todo == 0 {
		m.finish(s, r, happen)
		return
	}
	for at := range uint8(m.Partitions * m.Records) {
		if !p.Todo.has(at) || p.Least > 0 && at != p.At {
			continue
		}
		for y := max(p.Upto, p.Least, p.From); y <= s.Facts; y++ {
			to := s
			next := &to.Passes[r]
			next.Phase, next.At, next.Rewrite = Decided, at, y
			happen(Progress, to, "pass %d takes record %d of partition %d, and knows what it says at revision %d", r, m.record(at), int(at)/m.Records, y)
		}
	}
}

// announcePass shows everybody the revision, until the pass is closed.
func (m Protocol) announcePass(s System, r uint8, then Phase, happen Happen[System]) {
	to := s
	next := &to.Passes[r]
	next.Phase, next.Said = then, next.Said.with(next.Rewrite)
	happen(Progress, to, "pass %d announces revision %d", r, next.Rewrite)
}

// decide: a command has announced itself already.
func (m Protocol) decide(s System, r uint8, happen Happen[System]) {
	to := s
	next := &to.Passes[r]
	next.Phase, next.Least = Looked, 0
	if next.Tried < next.Rewrite {
		next.Doubt = max(next.Doubt, next.Tried)
	}
	happen(Progress, to, "command %d is about to rewrite it", r)
}

// look sees what others have announced, and how far the cursor is. Somebody who
// knows more may have seen already that the row is right, and will not look
// again: then the pass has to know as much. Somebody who knows less may still
// rewrite it: then it is rewritten too, even if it says the same.
func (m Protocol) look(s System, r uint8, then Phase, happen Happen[System]) {
	p := s.Passes[r]
	others := s.Orphans | s.Passes[1-r].Said
	commanded := others.has(always)
	latest, doubt := max(s.Cursor, s.Known), p.Doubt
	for y := range uint8(revisions) {
		switch {
		case !others.has(y):
		case y >= p.Rewrite:
			latest = max(latest, y)
		case y > s.Cursor:
			doubt = max(doubt, y)
		}
	}
	to := s
	next := &to.Passes[r]
	if latest > p.Rewrite && m.Mutation != Overtaken {
		next.Phase, next.Rewrite, next.Least = Working, 0, latest
		happen(Progress, to, "pass %d sees that revision %d is known, and takes the row again", r, latest)
		return
	}
	if p.Tried < p.Rewrite && m.Mutation != TriedIsForgotten {
		doubt = max(doubt, p.Tried)
	}
	if commanded {
		doubt = revisions
	}
	if m.Mutation == NoDoubt {
		doubt = 0
	}
	next.Phase, next.Least, next.Doubt = then, 0, doubt
	happen(Progress, to, "pass %d sees that rows below revision %d may still be rewritten", r, doubt)
}

// copy keeps what the row says.
func (m Protocol) copy(s System, r uint8, happen Happen[System]) {
	to := s
	next := &to.Passes[r]
	row := m.row(&to, next.At)
	next.Phase = Copied
	switch {
	case m.History == NoHistory:
		m.rewrite(to, r, happen)
		return
	case m.Mutation == ImageAfterRewrite:
		next.Image = row.Told
	default:
		row.Images = row.Images.with(row.Told - 1)
	}
	happen(Progress, to, "pass %d copies to the history what was known at revision %d", r, row.Told-1)
}

func (m Protocol) finish(s System, r uint8, happen Happen[System]) {
	to := s
	x := s.Passes[r].Upto
	if m.Mutation != CutIsSettled {
		to.Orphans |= s.Passes[r].Cut
	}
	if s.Passes[r].Command > 0 {
		to.Passes[r] = Pass{}
		happen(Progress, to, "command %d is done", r)
		return
	}
	if m.Mutation == ScanBeforeCommits {
		to.Passes[r] = Pass{Phase: Waiting, Upto: x}
		happen(Progress, to, "pass %d has no rows left", r)
		return
	}
	m.close(&to, r)
	happen(Progress, to, "pass %d has no rows left, and closes the facts up to %d", r, to.Cursor)
}

// rewrite sends the row again, unless somebody has done so or it would say the
// same and nobody is in doubt.
func (m Protocol) rewrite(s System, r uint8, happen Happen[System]) {
	p := s.Passes[r]
	row := m.row(&s, p.At)
	to := s
	if !row.below(p.below()) || !row.below(p.Doubt) && !m.wrong(m.record(p.At), row.Told-1, p.Rewrite) {
		to.Passes[r].done()
		happen(Progress, to, "pass %d has nothing to rewrite there", r)
		return
	}
	again := m.row(&to, p.At)
	again.Rewrites = again.Rewrites.with(p.Rewrite)
	if m.ImagesAhead {
		again.Images = again.Images.with(p.Rewrite)
	}
	to.Passes[r].Phase = Rewriting
	happen(Progress, to, "pass %d sends it again, at revision %d", r, p.Rewrite)
}

func (p *Pass) done() {
	*p = Pass{Phase: Working, Command: p.Command, From: p.From, Upto: p.Upto, Todo: p.Todo.without(p.At), Said: p.Said, Cut: p.Cut}
}

// rewritten: the store says that it has the rewrite, or nobody waits for that any
// longer.
func (m Protocol) rewritten(s System, r uint8, happen Happen[System]) {
	p := s.Passes[r]
	again := s
	next := &again.Passes[r]
	next.Phase, next.Rewrite, next.Least, next.Tried = Working, 0, p.Rewrite, p.Rewrite
	next.Cut = next.Cut.with(p.Rewrite)
	if p.Command > 0 {
		next.Cut = next.Cut.with(always)
	}
	m.fault(again, happen, "pass %d has waited too long for it, and takes the row again", r)
	if m.row(&s, p.At).Rewrites.has(p.Rewrite) {
		return
	}
	to := s
	if row := m.row(&to, p.At); p.Image > 0 {
		row.Images = row.Images.with(p.Image - 1)
		row.Missing = row.Missing.without(p.Image - 1)
	}
	to.Passes[r].done()
	happen(Progress, to, "pass %d hears that it is rewritten", r)
}
