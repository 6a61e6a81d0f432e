package statespace

import "testing"

func TestAValidSealIsRightInAnyInterleaving(t *testing.T) {
	for _, c := range []struct {
		about string
		scope SealingScope
		large bool
	}{
		{"a batch, and a newer program after a crash", SealingScope{Sealers: 2, Programs: 2, Faults: 3}, false},
		{"a fact", SealingScope{Passes: 1, Sealers: 1, Facts: 1, Programs: 1, Faults: 3}, false},
		{"two facts", SealingScope{Passes: 1, Sealers: 2, Facts: 2, Programs: 1, Faults: 1}, false},
		{"two facts, two passes", SealingScope{Passes: 2, Sealers: 1, Facts: 2, Programs: 1, Faults: 1}, true},
	} {
		t.Run(c.about, func(t *testing.T) {
			skipLarge(t, c.large)
			t.Parallel()
			c.scope.Faults += moreFaults(t)
			holds(t, c.scope.String(), Sealing{SealingScope: c.scope}.Spec())
		})
	}
}

func TestLeavingOutOrReorderingAnyOneStepOfSealingShows(t *testing.T) {
	const wrong, lost = "the seal is valid", "neither stored nor a dead letter"
	batch := SealingScope{Sealers: 1, Programs: 2, Faults: 1}
	fact := SealingScope{Passes: 1, Sealers: 1, Facts: 1, Programs: 1, Faults: 1}
	cases := []struct {
		without  string
		mutation SealingMutation
		scope    SealingScope
		breaks   string
	}{
		{"a batch touches before its rows are stored", TouchBeforeRows, batch, wrong},
		{"a batch whose rows are stored already does not touch", TouchOnlyNewRows, batch, wrong},
		{"the touch does not tell which rows a block has", TouchOfBatch, batch, wrong},
		{"the token does not tell which rows a block has", TokenOfBatch, batch, lost},
		{"a sealer reads the touches after it has computed", ReadTouchesLast, batch, wrong},
		{"a pass touches before it rewrites", TouchBeforeRewrite, fact, wrong},
		{"a pass touches only what it has rewritten itself", TouchOwnRewrites, fact, wrong},
		{"a pass closes before its touch is acknowledged", CloseBeforeTouch, fact, wrong},
		{"passes have the same touch", TouchesAlike, SealingScope{Passes: 1, Sealers: 1, Facts: 2, Programs: 1, Faults: 1}, wrong},
	}
	if len(cases) != int(sealingMutations)-1 {
		t.Errorf("%d cases for %d mutations", len(cases), sealingMutations-1)
	}
	for _, c := range cases {
		t.Run(c.without, func(t *testing.T) {
			t.Parallel()
			holds(t, c.scope.String(), Sealing{SealingScope: c.scope}.Spec())
			breaks(t, Sealing{c.scope, c.mutation}.Spec(), c.breaks)
		})
	}
}

// While programs of two versions are at work, an insert of the newer one may
// arrive after the older one has done the batch without its second row: nobody
// touches for it then.
func TestAnOlderProgramThatTakesABatchUpMayLeaveASealWrong(t *testing.T) {
	t.Parallel()
	breaks(t, Sealing{SealingScope: SealingScope{Sealers: 1, Programs: 2, Back: true, Faults: 2}}.Spec(), "the seal is valid")
}

func TestEveryStepOfSealingHappens(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{
		"program 1 takes the batch up": true, "inserts the rows that program 1": true, "the worker touches": true,
		"the rows of program 0": true, "the rows of program 1": true, "touch 0": true, "touch 1": true, "touch 3": true,
		"the batch is done": true, "is broken off": true, "from 1 to 2": true, "from 2 to 2": true,
		"rewritten at revision 2": true, "closes the facts up to 2": true, "reads the touches": true, "stores the seal": true,
	}
	spec := Sealing{SealingScope: SealingScope{Passes: 1, Sealers: 1, Facts: 2, Programs: 2, Faults: 1}}.Spec()
	watch(t, &spec, missing)
	for text := range missing {
		t.Errorf("never happens: %s", text)
	}
}
