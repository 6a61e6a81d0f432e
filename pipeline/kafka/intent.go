package kafka

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/whencehq/whence/pipeline"
)

// intent is what a commit's metadata says about the partition it is for. With
// End it announces a batch that begins at the committed offset; without, it
// only tells the revision up to which this partition's rows know the context.
type intent struct {
	Topic    [16]byte // the topic's id: a topic made anew has none of these commits
	End      int64    // exclusive; 0: nothing announced
	Records  int      // how many, since offsets may have gaps
	Hash     uint64   // pipeline.HashRecords
	Revision uint64
	Context  string // the context log that Revision is of: an installation has one
}

// The wire form is short: a broker takes 4 KiB of metadata by default.
type intentWire struct {
	Version  int    `json:"v"`
	Topic    string `json:"t"`
	End      int64  `json:"end,omitempty"`
	Records  int    `json:"n,omitempty"`
	Hash     string `json:"hash,omitempty"` // hexadecimal: JSON numbers end at 2^53
	Revision string `json:"rev,omitempty"`
	Context  string `json:"c,omitempty"`
}

func announce(b *pipeline.Batch, revision uint64) intent {
	return intent{Topic: b.TopicID, End: b.To, Records: len(b.Records), Hash: b.Hash, Revision: revision}
}

func (in intent) metadata() string {
	w := intentWire{Version: 1, Topic: hex.EncodeToString(in.Topic[:]), End: in.End, Records: in.Records, Revision: strconv.FormatUint(in.Revision, 10), Context: in.Context}
	if in.End > 0 {
		w.Hash = strconv.FormatUint(in.Hash, 16)
	}
	text, _ := json.Marshal(w) // of a struct of numbers and strings: can't fail
	return string(text)
}

// parseIntent reads metadata that whence has written. Empty metadata (an
// operator has set the offset by hand) announces nothing.
func parseIntent(metadata string) (intent, error) {
	if metadata == "" {
		return intent{}, nil
	}
	var w intentWire
	if err := json.Unmarshal([]byte(metadata), &w); err != nil {
		return intent{}, fmt.Errorf("commit metadata %.80q: %w", metadata, err)
	}
	if w.Version != 1 {
		return intent{}, fmt.Errorf("commit metadata %.80q: version %d is not one this program knows", metadata, w.Version)
	}
	in := intent{End: w.End, Records: w.Records, Context: w.Context}
	topic, err := hex.DecodeString(w.Topic)
	if err != nil || len(topic) != len(in.Topic) {
		return intent{}, fmt.Errorf("commit metadata %.80q: topic is not an id", metadata)
	}
	copy(in.Topic[:], topic)
	if w.Hash != "" {
		if in.Hash, err = strconv.ParseUint(w.Hash, 16, 64); err != nil {
			return intent{}, fmt.Errorf("commit metadata %.80q: hash: %w", metadata, err)
		}
	}
	if w.Revision != "" {
		if in.Revision, err = strconv.ParseUint(w.Revision, 10, 64); err != nil {
			return intent{}, fmt.Errorf("commit metadata %.80q: revision: %w", metadata, err)
		}
	}
	return in, nil
}

// keep checks that b is the batch that was announced.
func (in intent) keep(b *pipeline.Batch) error {
	if in.Hash == b.Hash && in.Records == len(b.Records) && in.End == b.To {
		return nil
	}
	return pipeline.Fatalf(
		"the log was truncated or rewritten after the batch was announced: compare the stored rows of that range with the log, then set the group's offset by hand",
		"%s/%d: records [%d, %d) are not those announced before: %d records with hash %016x, announced %d with %016x",
		b.Topic, b.Partition, b.From, b.To, len(b.Records), b.Hash, in.Records, in.Hash)
}
