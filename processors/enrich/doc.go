// Package enrich stamps onto every observation of a batch what was true at its
// event time: the columns of "What an enriched row says". What they mean is the
// timeline's, whose rules its package documentation numbers.
package enrich
