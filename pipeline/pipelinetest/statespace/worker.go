package statespace

// worker is what a session does with the partitions that it believes to be its
// own, with each by itself: the rounds of the code, in which all partitions go
// step by step together, are some of these interleavings.
func (m Protocol) worker(s System, w uint8, happen Happen[System]) {
	for p := range uint8(m.Partitions) {
		h := s.Workers[w].Hands[p]
		if h.Copied > 0 {
			m.copyTaken(s, w, p, happen)
		}
		switch {
		case h.committing():
			m.taken(s, w, p, happen)
		case h.Doing == Inserting:
			m.stored(s, w, p, happen)
		case h.Doing == Idle:
			m.idle(s, w, p, happen)
		}
	}
}

func (m Protocol) idle(s System, w, p uint8, happen Happen[System]) {
	h := s.Workers[w].Hands[p]
	if h.To > 0 {
		m.insert(s, w, p, h, happen)
	}
	if !m.mayCommit(s.Workers[w].Session) {
		return
	}
	if h.To == 0 {
		m.announce(s, w, p, h, happen)
	}
	if h.To == 0 && m.Mutation != NoHeartbeat || m.Mutation == HeartbeatOverAnnounced {
		m.beat(s, w, p, h, happen)
	}
}

// mayCommit: a session commits under the id that it got its partitions under,
// and under no other.
func (m Protocol) mayCommit(session Session) bool {
	return session == In || session == Again && m.Mutation == AnyMember
}

// look calls do for every revision that the worker's timeline may show it now,
// from a floor on, with the state after it.
func (s System) look(w, floor uint8, do func(r uint8, to System)) {
	for r := max(s.Workers[w].Timeline, floor); r <= s.Facts; r++ {
		to := s
		me := &to.Workers[w]
		me.Timeline = r
		for p := range me.Hands {
			if f := &me.Hands[p].Floor; *f <= r {
				*f = 0
			}
		}
		do(r, to)
	}
}

// announce cuts a batch and sends its intent. That needs no floor, but takes
// nothing back that was promised.
func (m Protocol) announce(s System, w, p uint8, h Hand, happen Happen[System]) {
	for end := h.From + 1; int(end) <= m.Records; end++ {
		if h.To = end; m.Mutation == NoIntent {
			m.insert(s, w, p, h, happen)
			continue
		}
		s.look(w, 0, func(r uint8, to System) {
			r = max(r, s.Partitions[p].Commit.Revision)
			if m.Mutation == InsertBeforeIntent {
				to.Partitions[p].send(h, r)
			}
			next := to.Workers[w].Hands[p]
			next.Doing, next.To, next.Revision = Announcing, end, r
			m.commit(&to, w, p, next)
			happen(Progress, to, "worker %d announces [%d, %d) of partition %d, at revision %d", w, h.From, h.To, p, r)
		})
	}
}

// insert enriches the batch, from the floor on, and sends its block.
func (m Protocol) insert(s System, w, p uint8, h Hand, happen Happen[System]) {
	s.look(w, h.Floor, func(r uint8, to System) {
		next := to.Workers[w].Hands[p]
		next.Doing, next.To, next.Revision = Inserting, h.To, r
		to.Workers[w].Hands[p] = next
		if m.Mutation == CommitBeforeInsert && m.mayCommit(s.Workers[w].Session) {
			next.Doing = Completing
			m.commit(&to, w, p, next)
		}
		if m.Mutation == HorizonAtZero {
			r = 0
		}
		to.Partitions[p].send(h, r)
		happen(Progress, to, "worker %d inserts [%d, %d) of partition %d, enriched at revision %d", w, h.From, h.To, p, r)
	})
}

func (p *Partition) send(h Hand, r uint8) {
	sent := &p.Sent[rangeOf(h.From, h.To)]
	*sent = sent.with(r)
}

// stored: the store says that it has the batch, whoever stored it.
func (m Protocol) stored(s System, w, p uint8, happen Happen[System]) {
	h := s.Workers[w].Hands[p]
	if !s.Partitions[p].Ledger.has(rangeOf(h.From, h.To)) || !m.mayCommit(s.Workers[w].Session) {
		return
	}
	to := s
	h.Doing = Completing
	m.commit(&to, w, p, h)
	happen(Progress, to, "worker %d hears that [%d, %d) of partition %d is stored, and commits %d, at revision %d", w, h.From, h.To, p, h.To, h.Revision)
}

// beat commits an idle partition's revision again when the timeline has moved.
// Not that of an announced batch: a former owner's insert of it may be on its
// way, enriched at what was promised with the announcement and no more.
func (m Protocol) beat(s System, w, p uint8, h Hand, happen Happen[System]) {
	s.look(w, 0, func(r uint8, to System) {
		if r <= s.Partitions[p].Commit.Revision {
			return
		}
		next := to.Workers[w].Hands[p]
		next.Doing, next.Revision = Beating, r
		m.commit(&to, w, p, next)
		happen(Progress, to, "worker %d says of the idle partition %d that it is at revision %d", w, p, r)
	})
}

// commit sends what the hand says.
func (m Protocol) commit(to *System, w, p uint8, h Hand) {
	if m.Mutation == CommitTwice && h.Copied == 0 {
		h.Copied, h.Copy = 1, h.commit()
	}
	to.Workers[w].Hands[p] = h
}

func (h *Hand) commit() Commit {
	if h.Doing == Completing {
		return Commit{Offset: h.To, Revision: h.Revision}
	}
	return Commit{Offset: h.From, End: h.To, Revision: h.Revision}
}

// taken: the group takes a commit, and its sender hears of it. (Where the
// commit or its answer is lost the sender stays where it is until it gives up:
// a crash, before this step or after it.)
func (m Protocol) taken(s System, w, p uint8, happen Happen[System]) {
	to := s
	h := &to.Workers[w].Hands[p]
	c := h.commit()
	to.Partitions[p].Commit = c
	if m.Unheard && h.Doing == Announcing && h.Asked == 0 && m.Mutation != FloorBeforeIntent {
		h.Floor, h.Asked = s.Facts, 1
	}
	kind := Progress
	h.Doing, h.From, h.To, h.Revision = Idle, c.Offset, c.End, 0
	if s.Workers[w].Session == Left || h.Revoked > 0 {
		kind, *h = Fault, Hand{Copied: h.Copied, Copy: h.Copy}
	}
	happen(kind, to, "the group takes worker %d's commit of partition %d: offset %d, announced end %d, revision %d", w, p, c.Offset, c.End, c.Revision)
}

// copyTaken: the group takes the second copy of a commit.
func (m Protocol) copyTaken(s System, w, p uint8, happen Happen[System]) {
	to := s
	h := &to.Workers[w].Hands[p]
	c := h.Copy
	h.Copied, h.Copy = 0, Commit{}
	to.Partitions[p].Commit = c
	happen(Fault, to, "the group takes a late copy of worker %d's commit of partition %d: offset %d, announced end %d, revision %d", w, p, c.Offset, c.End, c.Revision)
}
