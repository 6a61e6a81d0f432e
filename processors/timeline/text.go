package timeline

import (
	"strings"
	"unsafe"
)

// text is a string that many facts repeat (a version, an owner, the rules of a
// flag), kept once. The zero text is the empty string: not stated.
type text uint32

// texts holds each string once and never lets go of one. Whoever keeps a
// string of a fact keeps it as a text or as a clone: the fact's own strings
// alias a record's bytes, megabytes held for a word.
type texts struct {
	index map[string]text
	words []string
}

func newTexts() texts {
	return texts{index: map[string]text{"": 0}, words: []string{""}}
}

func (x *texts) intern(s string) text {
	if known, ok := x.index[s]; ok {
		return known
	}
	s = strings.Clone(s)
	fresh := text(len(x.words))
	x.words = append(x.words, s)
	x.index[s] = fresh
	return fresh
}

func (x *texts) word(i text) string { return x.words[i] }

// letters holds copies of strings that are kept for ever, end to end: a copy
// alone costs an allocation and is rounded up to the allocator's next size.
type letters struct{ chunk []byte }

const lettersChunk = 64 << 10

func (l *letters) copy(s string) string {
	if cap(l.chunk)-len(l.chunk) < len(s) {
		l.chunk = make([]byte, 0, max(len(s), lettersChunk))
	}
	from := len(l.chunk)
	l.chunk = append(l.chunk, s...)
	return unsafe.String(unsafe.SliceData(l.chunk[from:]), len(s))
}
