package oracle

import (
	"context"
	"fmt"
)

// Expected runs a query over `expected`, the answers to all observations of
// the scope, which lie in one span.
func (o *Oracle) Expected(ctx context.Context, query string) ([]byte, error) {
	spans, err := o.spans(ctx)
	if err != nil || len(spans) != 1 {
		return nil, fmt.Errorf("%d spans, %w", len(spans), err)
	}
	for _, files := range []string{"11", "12", "13"} {
		if err := o.run(ctx, files, spans[0]); err != nil {
			return nil, err
		}
	}
	return o.query(ctx, o.complete(query, spans[0]))
}

// Newer counts the differences that later facts may be the reason of.
func (o *Oracle) Newer(ctx context.Context) (int, error) {
	return o.count(ctx, "SELECT countIf(newer) AS n FROM whence_oracle.differences")
}
