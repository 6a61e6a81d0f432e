package timeline

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/schemas/event"
)

// enough is more than two blocks, so that lists split, shrink and lose blocks.
const enough = 3 * blockSize

func TestSpansAnswerAsAPlainSortedSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list spans[int]
		var plain []span[int]
		inOrder := rapid.Bool().Draw(t, "in order")
		seed := rapid.Uint64().Draw(t, "seed")
		from := &origin{}
		for i := range rapid.IntRange(1, enough).Draw(t, "steps") {
			seed = seed*6364136223846793005 + 1442695040888963407
			s := span[int]{from: event.Millis(seed >> 40 % 300), by: &fact{origin: from, hash: seed}, of: i}
			if inOrder {
				s.from = event.Millis(i / 2)
				s.by.hash = uint64(i)
			}
			s.to = s.from + event.Millis(seed>>33%40)
			list.insert(s)
			at, _ := slices.BinarySearchFunc(plain, s, func(a, b span[int]) int {
				if a.before(&b) {
					return -1
				}
				return 1
			})
			plain = slices.Insert(plain, at, s)
			if seed>>60 < 6 {
				gone := int(seed >> 20 % uint64(len(plain)))
				list.remove(plain[gone])
				plain = slices.Delete(plain, gone, gone+1)
			}
		}
		sameSpans(t, &list, plain)
	})
}

func sameSpans(t *rapid.T, list *spans[int], plain []span[int]) {
	var all, want []int
	list.all(func(i int) { all = append(all, i) })
	for _, s := range plain {
		want = append(want, s.of)
	}
	if !slices.Equal(all, want) {
		t.Fatalf("holds %v, want %v", all, want)
	}
	for at := event.Millis(-1); at < 420; at += 7 {
		var holding, expected []int
		list.holding(at, func(i int) { holding = append(holding, i) })
		for _, s := range plain {
			if s.from <= at && at < s.to {
				expected = append(expected, s.of)
			}
		}
		if !slices.Equal(holding, expected) {
			t.Fatalf("at %d: holding %v, want %v", at, holding, expected)
		}
		last := list.last(at)
		if (last == nil) != (len(expected) == 0) || last != nil && last.of != expected[len(expected)-1] {
			t.Fatalf("at %d: last %+v, want the last of %v", at, last, expected)
		}
	}
}

func TestMomentsAnswerAsAPlainSortedSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list moments
		var plain []event.Millis
		inOrder := rapid.Bool().Draw(t, "in order")
		seed := rapid.Uint64().Draw(t, "seed")
		for i := range rapid.IntRange(1, enough).Draw(t, "steps") {
			seed = seed*6364136223846793005 + 1442695040888963407
			m := event.Millis(seed >> 40 % 300)
			if inOrder {
				m = event.Millis(i / 3)
			}
			list.add(m)
			at, _ := slices.BinarySearch(plain, m)
			plain = slices.Insert(plain, at, m)
			if seed>>60 < 6 {
				gone := int(seed >> 20 % uint64(len(plain)))
				list.remove(plain[gone])
				plain = slices.Delete(plain, gone, gone+1)
			}
		}
		for at := event.Millis(-1); at < 310; at++ {
			from, to := -forever, forever
			for _, m := range plain {
				if m <= at {
					from = m
				} else {
					to = min(to, m)
				}
			}
			if f, u := list.around(at); f != from || u != to {
				t.Fatalf("around %d: [%d, %d), want [%d, %d)", at, f, u, from, to)
			}
		}
	})
}

func TestWhatHasNoEndIsNoBoundary(t *testing.T) {
	var list moments
	list.add(forever)
	list.remove(forever)
	if from, to := list.around(5); from != -forever || to != forever {
		t.Fatalf("got [%d, %d)", from, to)
	}
}

func TestACacheDropsWhatIsFarthest(t *testing.T) {
	k := &cache{}
	for i := range 10 {
		k = k.with(&constants{from: event.Millis(i), to: event.Millis(i + 1)}, len(k.contexts), 4)
	}
	k = k.with(&constants{from: -1, to: 0}, 0, 4)
	var kept []event.Millis
	for _, c := range k.contexts {
		kept = append(kept, c.from)
	}
	if !slices.Equal(kept, []event.Millis{-1, 6, 7, 8}) {
		t.Fatalf("kept %v", kept)
	}
}
