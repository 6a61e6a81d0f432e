package rollouts

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// writer writes events into one buffer. Rows are most of a case, so their
// constant parts are written once a series.
type writer struct {
	environment string
	buffer      []byte
	lines       []line
	second      int64 // that stamp is of
	stamp       []byte
}

// newWriter has room for so many rows.
func newWriter(environment string, rows int) *writer {
	return &writer{environment: environment, buffer: make([]byte, 0, rows*440+1<<15), lines: make([]line, 0, rows+200)}
}

type line struct {
	at         int64
	begin, end int
}

// sorted returns the lines in the order of time.
func (w *writer) sorted() [][]byte {
	slices.SortStableFunc(w.lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	lines := make([][]byte, len(w.lines))
	for i, l := range w.lines {
		lines[i] = w.buffer[l.begin:l.end:l.end]
	}
	return lines
}

func (w *writer) end(at int64, begin int) {
	w.lines = append(w.lines, line{at: at, begin: begin, end: len(w.buffer)})
}

func (w *writer) time(at int64) []byte {
	if w.stamp == nil || w.second != at {
		w.second, w.stamp = at, time.Unix(at, 0).UTC().AppendFormat(w.stamp[:0], time.RFC3339)
	}
	return w.stamp
}

// says is the data of a fact.
type says = map[string]any

// fact writes one. Its environment goes without saying.
func (w *writer) fact(at int64, typ, id, source, subject string, data says) {
	data["environment"] = w.environment
	encoded, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": w.environment + "/" + id, "source": source, "type": "io.whence." + typ,
		"subject": subject, "time": string(w.time(at)), "datacontenttype": "application/json", "data": data,
	})
	if err != nil {
		panic(err) // strings and numbers encode
	}
	begin := len(w.buffer)
	w.buffer = append(w.buffer, encoded...)
	w.end(at, begin)
}

// series is the rows of one instance on one edge, or of one of an edge's ends:
// what is the same in all of them.
type series struct{ head, middle, data []byte }

// newSeries is that of an edge as the source sees it. The instance is nil for
// an end. No name of a world needs escaping.
func (w *writer) newSeries(source, service string, p *pod, caller, callee string) series {
	who, version := source, ""
	data := `{"service":"` + service + `","environment":"` + w.environment
	if p != nil {
		who = p.name
		if p.version != "" {
			version = `","version":"` + p.version
		}
		data += `","instance":"` + p.name + version
	}
	data += `","caller":"` + caller + `","callee":"` + callee + `","interval_ms":60000`
	return series{
		head: []byte(`{"specversion":"1.0","id":"` + w.environment + "/" + who + "/" + caller + "/" + callee + "/"),
		middle: []byte(`","source":"` + source + `","type":"io.whence.service.measured","subject":"` +
			service + `","time":"`),
		data: []byte(`","datacontenttype":"application/json","data":` + data),
	}
}

// row is what was measured. Latency and so on are an instance's.
type row struct {
	requests, errors     int
	latency, cpu, memory float64
}

// measured writes a row. Without requests there is no ratio.
func (w *writer) measured(s *series, at int64, r row, counts, instance bool) {
	begin := len(w.buffer)
	b := append(w.buffer, s.head...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, s.middle...)
	b = append(b, w.time(at)...)
	b = append(b, s.data...)
	if counts {
		b = strconv.AppendInt(append(b, `,"requests":`...), int64(r.requests), 10)
		b = strconv.AppendInt(append(b, `,"errors":`...), int64(r.errors), 10)
	}
	if r.requests > 0 {
		b = appendRatio(append(b, `,"success_ratio":`...), 1-float64(r.errors)/float64(r.requests))
	}
	if instance {
		b = appendRatio(append(b, `,"latency_ms":`...), r.latency)
		b = appendRatio(append(b, `,"cpu_ratio":`...), r.cpu)
		b = appendRatio(append(b, `,"memory_ratio":`...), r.memory)
	}
	w.buffer = append(b, "}}"...)
	w.end(at, begin)
}

// appendRatio writes a number that is not negative with five decimals, in a
// third of the time that strconv takes.
func appendRatio(b []byte, x float64) []byte {
	n := uint64(x*100_000 + 0.5)
	b = strconv.AppendUint(b, n/100_000, 10)
	b = append(b, '.')
	for rest, unit := n%100_000, uint64(10_000); unit > 0; unit /= 10 {
		b = append(b, byte('0'+rest/unit%10))
	}
	return b
}
