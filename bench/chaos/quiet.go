package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// mark is how far each partition of the inputs has come.
type mark map[partition]int64

// published is how far the inputs have come: what brokers say, and what they
// have acknowledged, since one that stood still may not know yet.
func (s *system) published() mark {
	m := mark{}
	s.record.mu.Lock()
	maps.Copy(m, s.record.ends)
	s.record.mu.Unlock()
	return m
}

// end is how far a topic has come, as its brokers say.
func (s *system) end(topic string) (mark, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ids, err := s.topicIDs()
	if err != nil {
		return nil, err
	}
	ends, err := s.cluster.Admin.ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, err
	}
	m := mark{}
	ends.Each(func(end kadm.ListedOffset) { m[partition{topic, ids[topic], end.Partition}] = end.Offset })
	return m, nil
}

// ledgerEnds is where the ledger of each partition ends.
func (s *system) ledgerEnds() (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := s.query(ctx, "SELECT hex(toFixedString(UUIDStringToNum(toString(topic_id)), 16)) AS id, partition, max(to_offset) AS end FROM whence_state.batches GROUP BY topic_id, partition FORMAT JSONEachRow")
	if err != nil {
		return nil, err
	}
	ends := map[string]int64{}
	for decoder := json.NewDecoder(bytes.NewReader(answer)); decoder.More(); {
		var row struct {
			ID        string
			Partition int32
			End       int64
		}
		if err := decoder.Decode(&row); err != nil {
			return nil, err
		}
		ends[fmt.Sprintf("%s/%d", row.ID, row.Partition)] = row.End
	}
	return ends, nil
}

// covered is nil when the ledger has come to the mark.
func (s *system) covered(m mark) error {
	ends, err := s.ledgerEnds()
	if err != nil {
		return err
	}
	missing, example := int64(0), ""
	for p, want := range m {
		if have := ends[p.key()]; have < want {
			missing += want - have
			example = fmt.Sprintf("%s is stored up to %d of %d", p, have, want)
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d records are not in the ledger: %s", missing, example)
	}
	return nil
}

// awaitCovered waits for the mark, and says how long that took.
func (s *system) awaitCovered(m mark) time.Duration {
	s.Helper()
	begun := time.Now()
	s.eventually("what was published is in the ledger", func() error { return s.covered(m) })
	return time.Since(begun)
}

// eventually asks until the answer is nil, and fails the test with the last
// answer when that takes too long: the system's settle, or what is left of the test's
// own time, so that processes are ended and not left behind.
func (s *system) eventually(what string, ask func() error) {
	s.Helper()
	if err := s.await(ask); err != nil {
		s.Fatalf("%s: not in time: %v", what, err)
	}
}

// polls are this far apart: an answer costs the engine milliseconds.
const polls = 200 * time.Millisecond

func (s *system) await(ask func() error) error {
	within := s.settle
	if end, limited := s.Deadline(); limited {
		within = min(within, time.Until(end)-time.Minute)
	}
	deadline := time.After(within)
	tick := time.NewTicker(polls)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("%s are over: %w", within.Round(time.Second), err)
		case <-tick.C:
		}
	}
}

// awaitFacts waits until all that is on the context log is stored.
func (s *system) awaitFacts() {
	s.Helper()
	s.eventually("the context log is stored", func() error {
		end, err := s.end(topicContext)
		if err != nil {
			return err
		}
		return s.covered(end)
	})
}

// quieten stops the flow and waits until nothing is left to do: every record
// of the inputs is in the ledger, then every fact of the context log, then
// every correction is done.
func (s *system) quieten() {
	s.Helper()
	s.publisher.pause()
	s.eventually("the cluster is whole", s.cluster.Whole)
	s.awaitCovered(s.published())
	s.awaitFacts()
	s.eventually("every fact is corrected for", s.corrected)
}

// corrected asks whether corrections are over.
func (s *system) corrected() error {
	out, err := s.try("reconcile", "status", "--json", "--config", s.fleet.config, "--clickhouse", "http://"+s.address)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var status struct{ Quiet bool }
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if !status.Quiet {
		return fmt.Errorf("not quiet: %.500s", out)
	}
	return nil
}
