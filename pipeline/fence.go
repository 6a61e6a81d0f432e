package pipeline

import "context"

type fenceKey struct{}

// WithFence makes check part of ctx: what is done in ctx's name may be done
// only while it returns nil. A deadline would not do, for the right to go on is
// renewed meanwhile, and a process that was stopped may wake up anywhere.
func WithFence(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, fenceKey{}, check)
}

// Fenced returns why nothing may be written in ctx's name any more, nil where
// it may. Sinks ask right before they write.
func Fenced(ctx context.Context) error {
	if check, ok := ctx.Value(fenceKey{}).(func() error); ok {
		return check()
	}
	return nil
}
