package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
)

// Names of headers.
const (
	Header     = "whence-scan"
	HeaderPart = "whence-scan-part"
	// HeaderPartial is there, "true", where the report doesn't say that it names
	// all there is.
	HeaderPartial = "whence-scan-partial"
)

// LeastLimit is the least limit that Split takes, in bytes: headers of a report
// and one short result fit into it.
const LeastLimit = 16 << 10

// Split reads a report of the source kind (sarif, ocsf, trivy, grype,
// cyclonedx) from in, from its beginning, twice, and hands its chunks to emit
// one after the other, each of at most limit bytes. chunk is emit's to keep.
//
// The error is emit's own, or one of in's, or an *Error that says where the
// report is wrong; chunks may have been emitted before it. They do no harm
// without the last part: the scan isn't known whole.
func Split(kind string, in io.ReadSeeker, limit int, emit func(chunk []byte, headers map[string]string) error) error {
	open := formats[kind]
	if open == nil {
		return fmt.Errorf("scan: no reports are called %q", kind)
	}
	if limit < LeastLimit {
		return fmt.Errorf("scan: a limit of %d bytes is below %d", limit, LeastLimit)
	}
	s := &splitter{limit: limit, emit: emit, parts: map[int]int{}}
	s.format = open(s)
	digest := sha256.New()
	if err := s.pass(in, digest, s.format.survey()); err != nil {
		return err
	}
	if missing := s.format.missing(); missing != "" {
		return &Error{Detail: "no " + missing + ": not what " + kind + " writes"}
	}
	s.scan = s.format.guid()
	if s.scan == "" {
		s.scan = hex.EncodeToString(digest.Sum(nil)[:16])
	}
	if err := s.pass(in, nil, s.format.results()); err != nil {
		return err
	}
	return s.finish()
}

// format is how the reports of one source are read. survey is what the first
// reading keeps, results what the second one hands on to splitter.add.
type format interface {
	survey() *node
	// missing is what the report would have if it were one, after the survey. A
	// page that says "not found" must not be a scan that found nothing.
	missing() string
	guid() string // of the report itself, known after the survey; empty: none
	results() *node
	// header is how many bytes a chunk has before its first result of a group.
	header(group int) int
	// document puts a chunk together.
	document(c *chunk) []byte
}

var formats = map[string]func(*splitter) format{
	"sarif":     func(s *splitter) format { return &sarif{splitter: s} },
	"trivy":     func(s *splitter) format { return &trivy{splitter: s} },
	"grype":     func(s *splitter) format { return &grype{splitter: s} },
	"cyclonedx": func(s *splitter) format { return &cyclonedx{splitter: s} },
	"ocsf":      func(s *splitter) format { return &ocsf{splitter: s} },
}

// splitter collects chunks and counts the parts of the scan under way.
type splitter struct {
	format format
	limit  int
	emit   func([]byte, map[string]string) error
	scan   string // of the report
	kept   int    // bytes of what results refer to

	group int         // where the second reading is: the run, the Result
	open  *chunk      // to which results are added
	held  *chunk      // full, and not known yet to be the last
	of    int         // which of the report's scans they are of, from 0
	goes  bool        // that scan goes on in another group
	parts map[int]int // how many parts of each scan were emitted
}

// chunk is a document in the making.
type chunk struct {
	size   int
	groups []*group
	known  map[string]bool
	needed [][]byte // what its results refer to
}

// group is some of the results of one of the report's groups.
type group struct {
	number int
	lists  []*results
}

// results is some of the elements of one of a group's lists.
type results struct {
	name     string
	elements [][]byte
}

// reference is what a result needs beside it.
type reference struct {
	key  string
	body []byte // empty: nothing is known of it
}

// brackets is more than the punctuation of a chunk, a group and a list is long.
const brackets = 128

func (s *splitter) begin() {
	s.open = &chunk{size: brackets + s.format.header(s.group), known: map[string]bool{}}
	s.open.groups = []*group{{number: s.group}}
}

// add puts a result into the chunk under way, or into a new one where it has
// no room.
func (s *splitter) add(w *walk, list string, element []byte, needs ...reference) error {
	if s.open == nil {
		s.begin()
	}
	need := s.room(element, needs)
	if s.open.size+need > s.limit && s.open.results() > 0 {
		if err := s.close(); err != nil {
			return err
		}
		s.begin()
		need = s.room(element, needs)
	}
	if s.open.size+need > s.limit {
		return w.wrong("a result of %d bytes doesn't fit a chunk of %d", len(element), s.limit)
	}
	s.open.size += need
	for _, r := range needs {
		if !s.open.known[r.key] && len(r.body) > 0 {
			s.open.needed = append(s.open.needed, r.body)
		}
		s.open.known[r.key] = true
	}
	s.open.list(s.group, list).add(element)
	return nil
}

// room is how much larger a result makes the chunk.
func (s *splitter) room(element []byte, needs []reference) int {
	room := len(element) + 1
	for _, r := range needs {
		if !s.open.known[r.key] {
			room += len(r.body) + 1
		}
	}
	last := s.open.groups[len(s.open.groups)-1]
	if last.number != s.group {
		room += brackets + s.format.header(s.group)
	}
	return room + brackets // of a list
}

func (c *chunk) results() int {
	sum := 0
	for _, g := range c.groups {
		for _, l := range g.lists {
			sum += len(l.elements)
		}
	}
	return sum
}

func (c *chunk) list(number int, name string) *results {
	last := c.groups[len(c.groups)-1]
	if last.number != number {
		if last.lists == nil {
			c.groups = c.groups[:0]
		}
		last = &group{number: number}
		c.groups = append(c.groups, last)
	}
	if n := len(last.lists); n > 0 && last.lists[n-1].name == name {
		return last.lists[n-1]
	}
	last.lists = append(last.lists, &results{name: name})
	return last.lists[len(last.lists)-1]
}

func (r *results) add(element []byte) { r.elements = append(r.elements, element) }

// close ends the chunk under way: the one before it is not the last.
func (s *splitter) close() error {
	if s.held != nil {
		if err := s.send(false); err != nil {
			return err
		}
	}
	s.held, s.open = s.open, nil
	return nil
}

// finish ends a scan, or what of it is in one group. One that has found nothing
// says so.
func (s *splitter) finish() error {
	if s.open == nil && s.held == nil {
		s.begin()
	}
	if s.open != nil {
		if err := s.close(); err != nil {
			return err
		}
	}
	return s.send(!s.goes)
}

// send emits the chunk that is held, the next part of its scan.
func (s *splitter) send(last bool) error {
	c := s.held
	s.held = nil
	id := s.scan
	if s.of > 0 {
		id += "/" + strconv.Itoa(s.of)
	}
	s.parts[s.of]++
	part := strconv.Itoa(s.parts[s.of])
	if last {
		part += "/" + part
	}
	headers := map[string]string{Header: id, HeaderPart: part}
	if p, may := s.format.(interface{ partial() bool }); may && p.partial() {
		headers[HeaderPartial] = "true"
	}
	return s.emit(s.format.document(c), headers)
}

// Error is what is wrong with a report.
type Error struct {
	Where  string // as in runs[0].results[17]; empty: the report as a whole
	Offset int64  // in bytes, near the place
	Detail string
}

func (e *Error) Error() string {
	where := e.Where
	if where == "" {
		where = "the report"
	}
	return fmt.Sprintf("%s (at byte %d): %s", where, e.Offset, e.Detail)
}

// The bounds of what is remembered and how deep a report may nest. A chunk must
// be readable by processors/decode, which reads to 64 levels.
const (
	mostKept  = 32 << 20
	mostDepth = 64
)

// keep accounts for what is remembered of a report.
func (s *splitter) keep(w *walk, bytes int) error {
	const overhead = 64 // of an entry in a map or a list
	s.kept += bytes + overhead
	if s.kept > mostKept {
		return w.wrong("what its results refer to takes more than %d bytes", mostKept)
	}
	return nil
}

// pass reads the report once as n says.
func (s *splitter) pass(in io.ReadSeeker, digest io.Writer, n *node) error {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var r io.Reader = in
	if digest != nil {
		r = io.TeeReader(in, digest)
	}
	return newWalk(r, 4*s.limit).document(n)
}
