package backfill

import (
	"context"
	"fmt"
)

// Run publishes what a plan reads.
type Run struct {
	Plan  Plan
	State *State
	// Publish sends records, and returns when they are acknowledged.
	Publish func(ctx context.Context, records []Record) error
	// Turned is told of each page: its section and how many records are published
	// of that. nil: nobody.
	Turned func(section string, published int64, page int)
}

// Do reads every section that is not done. A section that a token may not read, or
// that a server does not have, is left out and noted in the state; any other error
// ends it, and the state says where to go on. So does such an answer once something
// of the section was read: what is behind it would be lost without a word.
func (r *Run) Do(ctx context.Context) error {
	for _, section := range r.Plan {
		progress := r.State.section(section.Name)
		if progress.Done {
			continue
		}
		err := section.Read(ctx, progress.Cursor, func(p Page) error { return r.turn(ctx, section.Name, progress, p) })
		switch {
		case isMissing(err) && progress.Cursor == "" && ctx.Err() == nil:
			progress.Missing = err.Error()
		case err != nil:
			return fmt.Errorf("%s: %w", section.Name, err)
		}
		progress.Done = true
		if err := r.State.save(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) turn(ctx context.Context, section string, progress *Progress, p Page) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.Publish(ctx, p.Records); err != nil {
		return err
	}
	progress.Cursor, progress.Published = p.Cursor, progress.Published+int64(len(p.Records))
	if r.Turned != nil {
		r.Turned(section, progress.Published, len(p.Records))
	}
	return r.State.save()
}
