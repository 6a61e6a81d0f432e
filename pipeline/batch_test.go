package pipeline

import (
	"testing"

	"pgregory.net/rapid"
)

func recordsOf(t *rapid.T) []Record {
	return rapid.SliceOf(rapid.Custom(func(t *rapid.T) Record {
		r := Record{Offset: rapid.Int64Range(0, 5).Draw(t, "offset")}
		r.Key = rapid.SampledFrom([][]byte{nil, {}, []byte("a"), []byte("ab")}).Draw(t, "key")
		r.Value = rapid.SampledFrom([][]byte{nil, {}, []byte("b"), []byte("ab"), []byte("bb")}).Draw(t, "value")
		for range rapid.IntRange(0, 2).Draw(t, "headers") {
			r.Headers = append(r.Headers, Header{Key: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "name"),
				Value: rapid.SampledFrom([][]byte{nil, []byte("a")}).Draw(t, "header")})
		}
		return r
	})).Draw(t, "records")
}

func sameRecords(a, b []Record) bool {
	same := func(x, y []byte) bool { return (x == nil) == (y == nil) && string(x) == string(y) }
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Offset != b[i].Offset || !same(a[i].Key, b[i].Key) || !same(a[i].Value, b[i].Value) || len(a[i].Headers) != len(b[i].Headers) {
			return false
		}
		for j := range a[i].Headers {
			if a[i].Headers[j].Key != b[i].Headers[j].Key || !same(a[i].Headers[j].Value, b[i].Headers[j].Value) {
				return false
			}
		}
	}
	return true
}

func TestTheRawHashTellsBatchesApartAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := recordsOf(t), recordsOf(t)
		if sameRecords(a, b) != (HashRecords(a) == HashRecords(b)) {
			t.Fatalf("%+v and %+v: %x and %x", a, b, HashRecords(a), HashRecords(b))
		}
		for i := range a {
			a[i].Timestamp++ // a broker may rewrite it
		}
		if sameRecords(a, b) != (HashRecords(a) == HashRecords(b)) {
			t.Fatal("a timestamp is in the hash")
		}
	})
}

func TestATokenHoldsTableTopicRangeAndHash(t *testing.T) {
	base := Batch{TopicID: [16]byte{1}, Partition: 1, From: 1, To: 2, Hash: 3}
	seen := map[string]bool{base.Token("a"): true}
	for what, other := range map[string]Batch{
		"topic id":  {TopicID: [16]byte{2}, Partition: 1, From: 1, To: 2, Hash: 3},
		"partition": {TopicID: [16]byte{1}, Partition: 2, From: 1, To: 2, Hash: 3},
		"from":      {TopicID: [16]byte{1}, Partition: 1, From: 0, To: 2, Hash: 3},
		"to":        {TopicID: [16]byte{1}, Partition: 1, From: 1, To: 3, Hash: 3},
		"hash":      {TopicID: [16]byte{1}, Partition: 1, From: 1, To: 2, Hash: 4},
	} {
		if token := other.Token("a"); seen[token] {
			t.Errorf("another %s, the same token %s", what, token)
		}
	}
	if seen[base.Token("b")] {
		t.Error("another table, the same token")
	}
}

func TestFailpointsAreReadOrRefusedWithTheReason(t *testing.T) {
	set, err := parseFailpoints("events/after-intent=kill@3,context/before-commit=50ms")
	if err != nil {
		t.Fatal(err)
	}
	if p := set.points["events/after-intent"]; p != (failpoint{"kill", 3}) {
		t.Errorf("got %+v", p)
	}
	if p := set.points["context/before-commit"]; p != (failpoint{"50ms", 1}) {
		t.Errorf("got %+v", p)
	}
	for _, bad := range []string{"x", "x=fly", "x=kill@0", "x=kill@y"} {
		if _, err := parseFailpoints(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
