package store

import (
	"context"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/whencehq/whence/pipeline"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// touches says of which minutes the batch has brought rows, so that their
// vitals are computed anew. It comes after the rows: a minute that is sealed in
// between has them already or is opened by this. And it comes before the
// ledger: who is killed in between is told by the batch to do it again, under
// the same token. That is made of the observations' offsets: a batch with more
// of them touches again. So does a doubted one: its rows may have come only now.
func (s *Events) touches(ctx context.Context, b *pipeline.Batch) error {
	block := tables.NewTouches()
	token := token(b, block.Table(), len(b.Observations), func(row int) int64 { return b.Observations[row].Offset })
	for _, m := range touched(b.Observations) {
		m.Touch = touch(token, &m)
		block.Append(&m)
	}
	if block.Rows() == 0 {
		return nil
	}
	return send(ctx, s.sink(), block, b, token)
}

// touched are the minutes of observations, with how many are in each, in the
// order of their first. The empty name is no service, and has no vitals.
func touched(observations []event.Observation) []tables.Minute {
	type place struct {
		service, environment string
		minute               event.Millis
	}
	var minutes []tables.Minute
	places := map[place]int{}
	last, at := place{}, -1
	for i := range observations {
		o := &observations[i]
		if o.Service == "" {
			continue
		}
		here := place{o.Service, o.Environment, tables.MinuteOf(o.Time)}
		if at < 0 || here != last {
			known := false
			if at, known = places[here]; !known {
				at = len(minutes)
				places[here] = at
				minutes = append(minutes, tables.Minute{Service: here.service, Environment: here.environment, Start: here.minute})
			}
			last = here
		}
		minutes[at].Rows++
	}
	return minutes
}

// touch is a hash of who touches what, and never 0.
func touch(token string, m *tables.Minute) uint64 {
	hash := xxhash.New()
	for _, part := range []string{token, m.Service, m.Environment} {
		_, _ = hash.WriteString(part)
		_, _ = hash.Write([]byte{0})
	}
	_, _ = hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(m.Start)))
	return max(hash.Sum64(), 1)
}
