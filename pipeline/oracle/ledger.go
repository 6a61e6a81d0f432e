package oracle

import "context"

// Account is what the ledger says of a partition: Records in [First, Last),
// each stored, dead, or dropped by a rule of the operator's.
type Account struct {
	Topic                          string
	Partition                      int32
	First, Last                    int64
	Batches, Records, Stored, Dead int
	Dropped                        int
}

// Accounts sums the ledger up, one Account a partition.
func Accounts(ctx context.Context, query Query) ([]Account, error) {
	return rows[Account](ctx, query, text("accounts.sql"))
}

// Trouble is something that breaks law 2.
type Trouble struct {
	Trouble   string `json:"trouble"` // gap, overlap, sum, dead letters, unaccounted, too many, ahead, stalled
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Detail    string `json:"detail"`
	// Key tells whether two looks at a system at work have seen the same.
	Key string `json:"key"`
}

// Troubles checks law 2 from the data alone: none where nothing is lost and
// nothing counts twice.
func Troubles(ctx context.Context, query Query) ([]Trouble, error) {
	return (&Oracle{query: query}).troubles(ctx)
}

func (o *Oracle) troubles(ctx context.Context) ([]Trouble, error) {
	return rows[Trouble](ctx, o.query, o.complete(text("troubles.sql"), span{}))
}
