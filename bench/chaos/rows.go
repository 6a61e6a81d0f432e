package chaos

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest/model"
	"github.com/whencehq/whence/schemas/event"
)

// row is an observation as it is stored: what was stated, and what was added.
type row struct {
	event.Observation
	event.Enrichment
}

// statedColumns, which are all that a world states, and enrichedColumns are read
// in this order.
const statedColumns = `source, id, type, toUnixTimestamp64Milli(time), name, service, environment, user, version, instance,
	toInt8(if(ok IS NULL, 0, if(assumeNotNull(ok), 2, 1))),
	ifNull(duration_ms, nan), ifNull(value, nan), ifNull(interval_ms, nan), ifNull(requests, nan), ifNull(errors, nan),
	experiment, variant, unit_id, anonymous_id, fingerprint, message, extensions`

const enrichedColumns = `deployment_id, deployed_version, previous_version, ifNull(deployment_age_ms, ` + noAge + `), rollout_ids, rollout_percent, change_ids,
	flags, incident_ids, incident_severity, finding_ids, owner, tier, canonical_service, experiments, revision`

const noAge = "toInt64(-9223372036854775808)"

// rows compares every observation with the world's, by its number: every column
// that a world states, and every enriched one with the model's answer.
func (s *system) rows(d *differences) {
	c := &comparison{system: s, differences: d, answers: model.NewAnswers(s.record.facts)}
	for day := range strings.Lines(s.ask("SELECT DISTINCT toDate(time) AS day FROM whence.observations ORDER BY day")) {
		if err := c.day(strings.TrimSpace(day)); err != nil {
			s.Fatal(err)
		}
	}
	for _, set := range []*bitmap{&s.record.own, &s.record.twins} {
		if n, found := set.first(&c.seen); found {
			d.add("observation %d was published and is not stored: %+v", n, s.world.Observation(n))
		}
	}
	s.Logf("%d rows compared, %d of them wrong; %d answers of the model", c.compared, c.wrong, c.answers.Kept())
}

// comparison is one pass over the table.
type comparison struct {
	*system
	*differences
	answers         *model.Answers
	seen            bitmap
	compared, wrong int
}

// mostWrong rows are told of.
const mostWrong = 5

func (c *comparison) report(format string, arguments ...any) {
	if c.wrong++; c.wrong <= mostWrong {
		c.add(format, arguments...)
	}
}

// day streams the rows of one day: the table may be larger than memory.
func (c *comparison) day(day string) error {
	question := fmt.Sprintf("SELECT %s, %s FROM whence.observations FINAL WHERE toDate(time) = '%s'", statedColumns, enrichedColumns, day)
	return c.stream(question, func(in *rowReader) {
		if r := in.row(); in.err == nil {
			c.row(&r)
		}
	})
}

// stream asks the server for rows, and has each read.
func (s *system) stream(question string, read func(in *rowReader)) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address, strings.NewReader(question+" FORMAT RowBinary"))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %s", question, text)
	}
	in := &rowReader{Reader: bufio.NewReaderSize(answer.Body, 1<<20), words: map[string]string{}}
	for {
		if _, err := in.Peek(1); err == io.EOF {
			return nil
		}
		if read(in); in.err != nil {
			return fmt.Errorf("%s: %w", question, in.err)
		}
	}
}

func (c *comparison) row(r *row) {
	c.compared++
	n, published := c.identify(r.ID)
	if !published {
		c.report("a row that nobody has published: %+v", r.Observation)
		return
	}
	if c.seen.has(n) {
		c.report("observation %d is there twice", n)
	}
	c.seen.set(n)
	want := c.expected(n)
	if have, want := said(&r.Observation), said(&want); have != want {
		c.report("observation %d\nhave %s\nwant %s", n, have, want)
		return
	}
	answer := c.answers.Of(want)
	if !sameEnrichment(&r.Enrichment, &answer) {
		c.report("observation %d: %s\nhave %s\nwant %s", n, said(&r.Observation), enriched(&r.Enrichment), enriched(&answer))
	}
}

// identify says which observation an id is of, and whether it was published.
func (c *comparison) identify(id string) (n uint64, published bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(id, "o"), 10, 64)
	return n, err == nil && (c.record.own.has(n) || c.record.twins.has(n))
}

// expected is the content of observation n that counts: of two the one with
// the greater hash.
func (c *comparison) expected(n uint64) event.Observation {
	switch {
	case !c.record.twins.has(n):
		return c.world.Observation(n)
	case !c.record.own.has(n):
		return c.world.Twin(n)
	}
	if own, twin := c.world.Hashes(n); twin > own {
		return c.world.Twin(n)
	}
	return c.world.Observation(n)
}

func said(o *event.Observation) string {
	var b strings.Builder
	for _, s := range []string{
		o.Source, o.ID, o.Type, o.Name, o.Service, o.Environment, o.User, o.Version, o.Instance,
		o.Experiment, o.Variant, o.UnitID, o.AnonymousID, o.Fingerprint, o.Message,
	} {
		b.WriteString(s)
		b.WriteByte('|')
	}
	for _, e := range o.Extensions {
		b.WriteString(e.Key + "=" + e.Value + "|")
	}
	var n [64]byte
	b.Write(strconv.AppendInt(n[:0], int64(o.Time), 10))
	b.WriteByte('|')
	b.Write(strconv.AppendInt(n[:0], int64(o.OK), 10))
	for _, x := range []float64{o.DurationMS, o.Value, o.IntervalMS, o.Requests, o.Errors} { // NaN: not stated
		b.WriteByte('|')
		b.Write(strconv.AppendFloat(n[:0], x, 'f', -1, 64))
	}
	return b.String()
}

func enriched(e *event.Enrichment) string {
	shown := *e
	shown.Revision = 0
	return fmt.Sprintf("%+v", shown)
}

func sameEnrichment(a, b *event.Enrichment) bool {
	return a.DeploymentID == b.DeploymentID && a.DeployedVersion == b.DeployedVersion && a.PreviousVersion == b.PreviousVersion &&
		a.DeploymentAgeMS == b.DeploymentAgeMS && same(a.RolloutIDs, b.RolloutIDs) && a.RolloutPercent == b.RolloutPercent &&
		same(a.ChangeIDs, b.ChangeIDs) && same(a.Flags, b.Flags) && same(a.IncidentIDs, b.IncidentIDs) &&
		a.IncidentSeverity == b.IncidentSeverity && same(a.FindingIDs, b.FindingIDs) && a.Owner == b.Owner && a.Tier == b.Tier &&
		a.CanonicalService == b.CanonicalService && same(a.Experiments, b.Experiments)
}

func same[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// rowReader reads RowBinary. Strings that come up again and again are kept.
type rowReader struct {
	*bufio.Reader
	err   error
	words map[string]string
	bytes []byte
}

func (in *rowReader) row() (r row) {
	for _, field := range []*string{&r.Source, &r.ID, &r.Type} {
		*field = in.text()
	}
	r.Time = event.Millis(in.number())
	for _, field := range []*string{&r.Name, &r.Service, &r.Environment, &r.User, &r.Version, &r.Instance} {
		*field = in.text()
	}
	ok, err := in.ReadByte()
	in.fail(err)
	r.OK = event.Truth(ok)
	for _, field := range []*float64{&r.DurationMS, &r.Value, &r.IntervalMS, &r.Requests, &r.Errors} {
		*field = in.float()
	}
	for _, field := range []*string{&r.Experiment, &r.Variant, &r.UnitID, &r.AnonymousID, &r.Fingerprint, &r.Message} {
		*field = in.text()
	}
	r.Extensions = in.pairs()
	r.Enrichment = in.enrichment()
	return r
}

func (in *rowReader) enrichment() (e event.Enrichment) {
	for _, field := range []*string{&e.DeploymentID, &e.DeployedVersion, &e.PreviousVersion} {
		*field = in.text()
	}
	e.DeploymentAgeMS = in.number()
	e.RolloutIDs, e.RolloutPercent, e.ChangeIDs = in.texts(), in.float(), in.texts()
	e.Flags, e.IncidentIDs, e.IncidentSeverity, e.FindingIDs = in.pairs(), in.texts(), in.text(), in.texts()
	e.Owner, e.Tier, e.CanonicalService, e.Experiments = in.text(), in.text(), in.text(), in.pairs()
	e.Revision = uint64(in.number())
	return e
}

func (in *rowReader) fail(err error) {
	if err != nil && in.err == nil {
		in.err = err
	}
}

func (in *rowReader) length() int {
	n, err := binary.ReadUvarint(in)
	in.fail(err)
	if in.err != nil {
		return 0
	}
	return int(n)
}

// mostWords bounds what is kept: ids are said once.
const mostWords = 1 << 18

func (in *rowReader) text() string {
	n := in.length()
	if n > len(in.bytes) {
		in.bytes = make([]byte, n)
	}
	_, err := io.ReadFull(in, in.bytes[:n])
	in.fail(err)
	if word, known := in.words[string(in.bytes[:n])]; known {
		return word
	}
	word := string(in.bytes[:n])
	if len(in.words) < mostWords && n < 64 {
		in.words[word] = word
	}
	return word
}

func (in *rowReader) texts() []string {
	n := in.length()
	if n == 0 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = in.text()
	}
	return all
}

func (in *rowReader) pairs() []event.Pair {
	n := in.length()
	if n == 0 {
		return nil
	}
	all := make([]event.Pair, n)
	for i := range all {
		all[i] = event.Pair{Key: in.text(), Value: in.text()}
	}
	return all
}

func (in *rowReader) number() int64 {
	var b [8]byte
	_, err := io.ReadFull(in, b[:])
	in.fail(err)
	return int64(binary.LittleEndian.Uint64(b[:]))
}

func (in *rowReader) float() float64 { return math.Float64frombits(uint64(in.number())) }
