package statespace

import (
	"bytes"
	"errors"
	"fmt"
)

// Minute is one minute of vitals and all that may happen to it: a batch that is
// stored and touches it, passes of reconcile that rewrite its first row and
// touch it, and sealers. It is a plain value, all of bytes.
type Minute struct {
	// Rows is what two of its rows say: 0: nothing, else 1 + the revision they
	// were enriched at, which is 0 at first. There are facts that concern the
	// first. The second is in the batch's block only if a newer program builds
	// it; for the older one its record is a dead letter.
	Rows    [2]uint8
	Blocks  Set // the tokens used
	Touches Set // what is summed up; each has a token, so that twice is once

	// On their way: blocks by program, touches, rewrites by revision.
	SentBlocks, SentTouches, SentRewrites Set

	Batch   Batch
	Fixes   [passes]Fix
	Begun   uint8 // passes so far: each has a touch of its own
	Cursor  uint8 // the facts up to it are closed
	Sealers [2]Sealer
	Seal    Seal
	Faults  uint8
}

// Batch is what a worker is doing with it.
type Batch struct {
	Doing   Step
	Program uint8 // 0 is older than 1
	Known   uint8 // 1: its rows were stored already when they were sent
	Done    uint8 // 1: in the ledger, and committed
}

// Fix is a pass of reconcile. It begins when the batch is done.
type Fix struct {
	Doing   Step
	Upto    uint8 // the facts that it is to close
	Touch   uint8
	Rewrite uint8 // the revision of the rewrite on its way
}

// Sealer is at work on a seal.
type Sealer struct {
	Doing Step
	Seal  Seal // as far as it is
}

// Seal is a row of whence_state.sealed: the touches that had been read, and
// what was computed from the rows.
type Seal struct {
	Made    uint8
	Touches Set
	Rows    [2]uint8
}

// Step is how far a batch, a pass or a sealer is.
type Step uint8

// The steps.
const (
	AtRest Step = iota
	Begun
	RowsSent
	TouchSent
	TouchesRead
	Computed
)

// Sealing is the protocol of sealed minutes in a scope, whole or with one
// mutation.
type Sealing struct {
	SealingScope
	Mutation SealingMutation
}

// SealingScope bounds what is explored.
type SealingScope struct {
	Passes, Sealers int
	Facts           int  // all on the log from the beginning; each changes the first row
	Programs        int  // 2: a batch may be taken up by a newer one
	Back            bool // or by an older one
	Faults          int  // crashes, and passes and sealers that are broken off
}

func (s SealingScope) String() string {
	return fmt.Sprintf("passes %d, facts %d, sealers %d, programs %d, faults %d", s.Passes, s.Facts, s.Sealers, s.Programs, s.Faults)
}

// SealingMutation is one step left out or done in another order.
type SealingMutation uint8

// The mutations.
const (
	Unmutated SealingMutation = iota

	TouchBeforeRows    // a batch touches before its rows are stored
	TouchOnlyNewRows   // a batch whose rows were stored already does not touch
	TouchOfBatch       // its touch does not tell which rows are in its block
	TokenOfBatch       // nor does the token of its block
	ReadTouchesLast    // a sealer reads the touches after it has computed
	TouchBeforeRewrite // a pass touches before it rewrites
	TouchOwnRewrites   // a pass that finds nothing to rewrite does not touch
	CloseBeforeTouch   // a pass closes before its touch is acknowledged
	TouchesAlike       // all passes have the same touch

	sealingMutations
)

// Spec of sealing.
func (m Sealing) Spec() Spec[Minute] {
	return Spec[Minute]{Steps: m.Steps, Same: m.Same, Always: m.Always, Quiet: m.Quiet}
}

// Steps of everybody.
func (m Sealing) Steps(s Minute, happen Happen[Minute]) {
	m.batch(s, happen)
	m.blocks(s, happen)
	m.touches(s, happen)
	m.rewrites(s, happen)
	for i := range s.Fixes[:m.Passes] {
		m.fix(s, i, happen)
	}
	for i := range s.Sealers[:m.Sealers] {
		m.sealer(s, i, happen)
	}
}

// Same forgets what tokens will drop, and orders sealers and passes.
func (m Sealing) Same(s Minute) Minute {
	for program := range uint8(2) {
		if s.Blocks.has(m.token(program)) {
			s.SentBlocks = s.SentBlocks.without(program)
		}
	}
	s.SentTouches &^= s.Touches
	least := s
	for n := 1; n < 4; n++ {
		t := s
		if n&1 != 0 {
			t.Fixes[0], t.Fixes[1] = t.Fixes[1], t.Fixes[0]
		}
		if n&2 != 0 {
			t.Sealers[0], t.Sealers[1] = t.Sealers[1], t.Sealers[0]
		}
		if n&1 != 0 && m.Passes < passes || n&2 != 0 && m.Sealers < 2 {
			continue
		}
		if bytes.Compare(bytesOf(&t), bytesOf(&least)) < 0 {
			least = t
		}
	}
	return least
}

// valid: nobody has touched the minute since the seal's touches were read.
func (s *Minute) valid() bool { return s.Seal.Made > 0 && s.Seal.Touches == s.Touches }

// settled: no batch and no correction is under way, or was broken off and has
// to be taken up again.
func (m Sealing) settled(s Minute) bool {
	return s.Batch.Done > 0 && s.Fixes == [passes]Fix{} && (s.Begun == 0 || int(s.Cursor) == m.Facts)
}

// Always holds in every state: a valid seal is right.
func (m Sealing) Always(s Minute) error {
	switch {
	case s.Batch.Done > 0 && s.Batch.Program == 1 && s.Rows[1] == 0:
		return errors.New("the second record is neither stored nor a dead letter")
	case m.settled(s) && s.valid() && s.Seal.Rows != s.Rows:
		return fmt.Errorf("the seal is valid and says %v, and the rows say %v", s.Seal.Rows, s.Rows)
	}
	return nil
}

// Quiet holds where nothing but faults can happen: there is a valid seal.
func (m Sealing) Quiet(s Minute) error {
	switch {
	case !m.settled(s) || m.Passes > 0 && int(s.Cursor) < m.Facts:
		return errors.New("the batch is not done, or a fact is not closed")
	case !s.valid():
		return errors.New("the minute has no valid seal")
	}
	return nil
}

func (m Sealing) fault(to Minute, happen Happen[Minute], text string, args ...any) {
	if to.Faults++; int(to.Faults) <= m.Faults {
		happen(Fault, to, text, args...)
	}
}

// token of the block that a program builds: processors/store.insert.
func (m Sealing) token(program uint8) uint8 {
	if m.Mutation == TokenOfBatch {
		return 0
	}
	return program
}

// touch of the block that a program builds; those of passes come after.
func (m Sealing) touch(program uint8) uint8 {
	if m.Mutation == TouchOfBatch {
		return 0
	}
	return program
}

const firstOfPasses = 2

// batch: rows, then the touch, then the ledger. After a crash all of it again,
// by the same program or a newer one.
func (m Sealing) batch(s Minute, happen Happen[Minute]) {
	b := s.Batch
	if b.Done > 0 {
		return
	}
	for program := range uint8(m.Programs) {
		if program < b.Program && !m.Back {
			continue
		}
		to := s
		to.Batch = Batch{Program: program}
		m.fault(to, happen, "the worker crashes, and program %d takes the batch up", program)
	}
	first, second := m.insertRows, m.touchMinute
	if m.Mutation == TouchBeforeRows {
		first, second = second, first
	}
	stored, touched := s.Blocks.has(m.token(b.Program)), s.Touches.has(m.touch(b.Program))
	switch {
	case b.Doing == AtRest:
		first(s, happen)
	case b.Doing == RowsSent && !stored, b.Doing == TouchSent && !touched:
	case stored && (touched || m.Mutation == TouchOnlyNewRows && b.Known > 0):
		to := s
		to.Batch = Batch{Program: b.Program, Done: 1}
		happen(Progress, to, "the batch is done")
	default:
		second(s, happen)
	}
}

func (m Sealing) insertRows(s Minute, happen Happen[Minute]) {
	to := s
	b := &to.Batch
	b.Doing = RowsSent
	if s.Blocks.has(m.token(b.Program)) {
		b.Known = 1
	}
	to.SentBlocks = to.SentBlocks.with(b.Program)
	happen(Progress, to, "the worker inserts the rows that program %d has of the batch", b.Program)
}

func (m Sealing) touchMinute(s Minute, happen Happen[Minute]) {
	to := s
	to.Batch.Doing = TouchSent
	to.SentTouches = to.SentTouches.with(m.touch(s.Batch.Program))
	happen(Progress, to, "the worker touches the minute")
}

// blocks that arrive. What nobody waits for any more may arrive or not.
func (m Sealing) blocks(s Minute, happen Happen[Minute]) {
	for program := range uint8(2) {
		token := m.token(program)
		if !s.SentBlocks.has(program) || s.Blocks.has(token) {
			continue
		}
		to := s
		to.Blocks = to.Blocks.with(token)
		for i := range program + 1 {
			to.Rows[i] = max(to.Rows[i], 1)
		}
		awaited := s.Batch.Doing == RowsSent && m.token(s.Batch.Program) == token
		happen(Kind(awaited), to, "the rows of program %d are stored", program)
	}
}

func (m Sealing) touches(s Minute, happen Happen[Minute]) {
	for touch := range uint8(8) {
		if !s.SentTouches.has(touch) || s.Touches.has(touch) {
			continue
		}
		to := s
		to.Touches = to.Touches.with(touch)
		awaited := s.Batch.Doing == TouchSent && m.touch(s.Batch.Program) == touch
		for _, f := range s.Fixes {
			awaited = awaited || f.Doing == TouchSent && f.Touch == touch
		}
		happen(Kind(awaited), to, "touch %d is stored", touch)
	}
}

func (m Sealing) rewrites(s Minute, happen Happen[Minute]) {
	for y := uint8(1); int(y) <= m.Facts; y++ {
		if !s.SentRewrites.has(y) {
			continue
		}
		to := s
		to.SentRewrites = to.SentRewrites.without(y)
		to.Rows[0] = max(to.Rows[0], y+1)
		awaited := false
		for _, f := range s.Fixes {
			awaited = awaited || f.Doing == RowsSent && f.Rewrite == y
		}
		happen(Kind(awaited), to, "the first row is rewritten at revision %d", y)
	}
}

// fix: rewrite, touch, close. A pass that finds nothing to rewrite touches all
// the same: who has rewritten the row may have died before it touched.
func (m Sealing) fix(s Minute, i int, happen Happen[Minute]) {
	f := s.Fixes[i]
	if f.Doing != AtRest {
		to := s
		to.Fixes[i] = Fix{}
		m.fault(to, happen, "pass %d is broken off", i)
	}
	below := s.Rows[0] <= f.Upto
	late := m.Mutation == TouchBeforeRewrite
	switch {
	case f.Doing == AtRest:
		m.begin(s, i, happen)
	case f.Doing == Begun && !below && m.Mutation == TouchOwnRewrites:
		m.close(s, i, happen)
	case f.Doing == Begun && (late || !below):
		m.touchFix(s, i, happen)
	case f.Doing == Begun:
		m.rewrite(s, i, happen)
	case f.Doing == RowsSent && s.SentRewrites.has(f.Rewrite):
	case f.Doing == TouchSent && !s.Touches.has(f.Touch):
	case f.Doing == RowsSent && !late:
		m.touchFix(s, i, happen)
	case f.Doing == TouchSent && late && below:
		m.rewrite(s, i, happen)
	default:
		m.close(s, i, happen)
	}
}

func (m Sealing) begin(s Minute, i int, happen Happen[Minute]) {
	if s.Batch.Done == 0 {
		return
	}
	for x := s.Cursor + 1; int(x) <= m.Facts; x++ {
		to := s
		to.Fixes[i] = Fix{Doing: Begun, Upto: x, Touch: firstOfPasses + s.Begun}
		if m.Mutation == TouchesAlike {
			to.Fixes[i].Touch = firstOfPasses
		}
		to.Begun++
		happen(Progress, to, "pass %d begins: it is to close the facts from %d to %d", i, s.Cursor+1, x)
	}
}

func (m Sealing) rewrite(s Minute, i int, happen Happen[Minute]) {
	for y := s.Fixes[i].Upto; int(y) <= m.Facts; y++ {
		to := s
		to.Fixes[i].Doing, to.Fixes[i].Rewrite = RowsSent, y
		to.SentRewrites = to.SentRewrites.with(y)
		happen(Progress, to, "pass %d rewrites the first row, at revision %d", i, y)
	}
}

func (m Sealing) touchFix(s Minute, i int, happen Happen[Minute]) {
	to := s
	f := &to.Fixes[i]
	f.Doing, to.SentTouches = TouchSent, to.SentTouches.with(f.Touch)
	if m.Mutation == CloseBeforeTouch {
		to.Cursor = max(to.Cursor, f.Upto)
	}
	happen(Progress, to, "pass %d touches the minute: touch %d", i, f.Touch)
}

func (m Sealing) close(s Minute, i int, happen Happen[Minute]) {
	to := s
	to.Cursor = max(s.Cursor, s.Fixes[i].Upto)
	to.Fixes[i] = Fix{}
	happen(Progress, to, "pass %d closes the facts up to %d", i, to.Cursor)
}

// sealer: read the touches, compute, store, where there is no valid seal. (The
// minute has other rows too, which don't change.)
func (m Sealing) sealer(s Minute, i int, happen Happen[Minute]) {
	to := s
	me := &to.Sealers[i]
	if me.Doing != AtRest {
		broken := s
		broken.Sealers[i] = Sealer{}
		m.fault(broken, happen, "sealer %d is broken off", i)
	}
	first, second := m.readTouches, m.compute
	if m.Mutation == ReadTouchesLast {
		first, second = second, first
	}
	switch {
	case me.Doing == AtRest && s.valid():
	case me.Doing == AtRest:
		me.Doing = TouchesRead
		first(to, i, happen)
	case me.Doing == TouchesRead:
		me.Doing = Computed
		second(to, i, happen)
	default:
		to.Seal, *me = me.Seal, Sealer{}
		to.Seal.Made = 1
		happen(Progress, to, "sealer %d stores the seal", i)
	}
}

func (m Sealing) readTouches(to Minute, i int, happen Happen[Minute]) {
	to.Sealers[i].Seal.Touches = to.Touches
	happen(Progress, to, "sealer %d reads the touches", i)
}

func (m Sealing) compute(to Minute, i int, happen Happen[Minute]) {
	to.Sealers[i].Seal.Rows = to.Rows
	happen(Progress, to, "sealer %d computes: the rows say %v", i, to.Rows)
}
