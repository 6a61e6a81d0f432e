package statespace

// group is the coordinator and the worker's membership: the classic protocol
// with cooperative rebalances. All that it checks of a commit is whether its
// member is in the group.
func (m Protocol) group(s System, w uint8, happen Happen[System]) {
	to, me := s, &s.Workers[w]
	switch me.Session {
	case Out:
		to.Workers[w].Session = In
		if m.Mutation == FloorBeforeAssignment {
			to.Workers[w].Timeline = s.Facts
		}
		happen(Progress, to, "worker %d joins the group", w)
	case In:
		m.member(s, w, happen)
	case Dropped:
		m.crash(s, w, happen)
		to.Workers[w] = Worker{Timeline: me.Timeline}
		happen(Progress, to, "worker %d learns that the group has dropped it, and ends its session", w)
		to = s
		to.Workers[w].Session = Again
		m.fault(to, happen, "the group lets worker %d in again under another id, which it does not notice", w)
	case Again:
		m.member(s, w, happen)
		if m.Mutation != AnyMember {
			to.end(w)
			happen(Progress, to, "worker %d is about to commit, finds that it has another id, and ends its session", w)
		}
	case Left:
		to.fence(w)
		to.Workers[w] = Worker{Timeline: me.Timeline}
		happen(Progress, to, "the group notices that worker %d is gone", w)
	}
}

// member is what may happen to one that is in the group.
func (m Protocol) member(s System, w uint8, happen Happen[System]) {
	m.crash(s, w, happen)
	m.expire(s, w, happen)
	for p := range uint8(m.Partitions) {
		switch s.Partitions[p].Owner {
		case 0:
			m.assign(s, w, p, happen)
		case w + 1:
			m.revoke(s, w, p, happen)
		}
	}
}

// crash ends a process. A session that gives up because an answer is lost is
// the same to everybody else, and its timeline only further on.
func (m Protocol) crash(s System, w uint8, happen Happen[System]) {
	to := s
	to.end(w)
	to.Workers[w].Timeline = 0 // it begins with a snapshot of facts
	m.fault(to, happen, "worker %d crashes, or gives up its session for want of an answer", w)
}

// end ends a session. What it has sent is on its way all the same: inserts for
// ever, commits until the group notices.
func (s *System) end(w uint8) {
	me := &s.Workers[w]
	if me.Session == Dropped {
		*me = Worker{Timeline: me.Timeline}
		return
	}
	me.Session = Left
	for p := range me.Hands {
		if h := &me.Hands[p]; !h.committing() {
			*h = Hand{Copied: h.Copied, Copy: h.Copy}
		}
	}
}

// expire drops a member that has been silent: paused, cut off, or late to
// join. It may go on where it was, at any later time.
func (m Protocol) expire(s System, w uint8, happen Happen[System]) {
	to := s
	to.fence(w)
	to.Workers[w].Session = Dropped
	m.fault(to, happen, "worker %d is paused, and the group drops it", w)
}

// fence takes a member's partitions away, and refuses its commits from now on.
func (s *System) fence(w uint8) {
	for p := range s.Partitions {
		if o := &s.Partitions[p].Owner; *o == w+1 {
			*o = 0
		}
		h := &s.Workers[w].Hands[p]
		if h.Copied, h.Copy = 0, (Commit{}); h.committing() {
			*h = Hand{}
		}
	}
}

// assign gives a free partition to a member, which reads the commit and then
// asks for the end of the context log: its floor.
func (m Protocol) assign(s System, w, p uint8, happen Happen[System]) {
	to, c := s, s.Partitions[p].Commit
	h := Hand{Doing: Idle, From: c.Offset, To: c.End}
	if m.Unheard && c.End > 0 {
		h.Asked = 1 // soon: what is known now is no more than will be then
	}
	if m.Mutation == NoIntent {
		h.To = 0
	}
	floor := m.Mutation != NoFloor && m.Mutation != FloorBeforeAssignment
	if floor && s.Facts > s.Workers[w].Timeline {
		h.Floor = s.Facts
	}
	to.Partitions[p].Owner = w + 1
	to.Workers[w].Hands[p] = h
	happen(Progress, to, "worker %d is assigned partition %d: offset %d, announced end %d, floor %d", w, p, h.From, h.To, h.Floor)
}

// revoke takes a partition away from a member that stays in the group. It
// waits for what is under way; between announcement and insert it need not.
func (m Protocol) revoke(s System, w, p uint8, happen Happen[System]) {
	to, h := s, s.Workers[w].Hands[p]
	to.Partitions[p].Owner = 0
	switch {
	case h.Doing == Idle || h.Doing == Nothing:
		to.Workers[w].Hands[p] = Hand{Copied: h.Copied, Copy: h.Copy}
		happen(Fault, to, "partition %d is revoked from worker %d", p, w)
	case h.Doing == Beating && m.Mutation == NoLockInHeartbeat:
		to.Workers[w].Hands[p].Revoked = 1
		happen(Fault, to, "partition %d is revoked from worker %d, whose heartbeat is on its way", p, w)
	case h.Doing == Inserting && m.Mutation == NoLockInInsert, h.committing() && m.Mutation == NoLockInCommit:
		happen(Fault, to, "partition %d is revoked from worker %d, which goes on with its batch", p, w)
	}
}
