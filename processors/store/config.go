package store

import (
	"context"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// Sink takes blocks. A block whose token it has seen before is accepted and
// dropped, and may be so although the one before it was not stored: after a
// doubtful attempt the other two methods make sure.
type Sink interface {
	Insert(ctx context.Context, block tables.Block, token string) error
	// Again stores a block that may be there, for a table where it may be twice.
	// The token only names it.
	Again(ctx context.Context, block tables.Block, token string) error
	// Missing lists, by their place, the observations that are not there and that
	// no greater content of theirs has replaced.
	Missing(ctx context.Context, observations []event.Observation) ([]int, error)
}

// Graveyard keeps dead letters where they can be replayed from. It may get one
// more than once.
type Graveyard interface {
	Bury(ctx context.Context, dead []pipeline.DeadLetter) error
}

// Deriver computes anew what follows from the facts of some entities: entity
// tables and conflicts. Doing so twice changes nothing.
type Deriver interface {
	Derive(ctx context.Context, revision uint64, facts []event.Fact) error
}
