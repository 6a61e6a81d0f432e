package decode

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/source"
)

var rewrite = flag.Bool("rewrite", false, "write the generated part of README.md anew instead of comparing it")

const behavior = `{"specversion":"1.0","id":"%d","source":"web","type":"io.whence.behavior.recorded","time":"2026-11-23T14:05:00Z","data":{"name":"n","service":"s","environment":"e"}}`

func batchOf(values ...[]byte) *pipeline.Batch {
	b := &pipeline.Batch{Topic: "whence.behavior", TopicID: [16]byte{7}, Partition: 2, From: 100, To: 100 + int64(2*len(values))}
	for i, v := range values {
		b.Records = append(b.Records, pipeline.Record{Value: v, Key: []byte("k"), Offset: 100 + int64(2*i), Timestamp: 1700000000000})
	}
	return b
}

func processed(t testing.TB, config Config, b *pipeline.Batch) *pipeline.Batch {
	t.Helper()
	if err := New(config).Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Facts) + len(b.Observations) + len(b.Others) + len(b.Dead); n != len(b.Records) {
		t.Fatalf("%d records have become %d", len(b.Records), n)
	}
	return b
}

func good(i int) []byte { return fmt.Appendf(nil, behavior, i) }

// hostile are records that can't be taken, by the reason they can't.
func hostile() map[pipeline.Reason][][]byte {
	in := func(change, to string) []byte { return []byte(strings.Replace(string(good(0)), change, to, 1)) }
	return map[pipeline.Reason][][]byte{
		pipeline.ReasonEmpty:       {nil, {}},
		pipeline.ReasonTooLarge:    {in(`"n"`, `"`+strings.Repeat("x", 10_000_000)+`"`), bytes.Repeat([]byte{0x91}, 10_000_000)},
		pipeline.ReasonTooDeep:     {[]byte(strings.Repeat("[", 1_000_000)), bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 300_000)},
		pipeline.ReasonMalformed:   {[]byte("\xdf\xff\xff\xff\xff\xa1a"), good(0)[:80], []byte("hello"), []byte("\x00\x01\x02")},
		pipeline.ReasonInvalidUTF8: {in(`"n"`, "\"\xff\"")},
		pipeline.ReasonSpecVersion: {in(`"1.0"`, `"0.3"`)},
		pipeline.ReasonMissing:     {in(`"id":"0"`, `"id":""`), []byte(`{}`)},
		pipeline.ReasonWrongType:   {in(`"n"`, `5`)},
		pipeline.ReasonTime:        {in(`2026-`, `0000-`), in(`2026-`, `2101-`), in(`2026-11-23T14:05:00Z`, `noon`)},
		pipeline.ReasonUnknownType: {in(`behavior.recorded`, `behavior.imagined`)},
	}
}

func TestOneBadRecordHurtsOnlyItself(t *testing.T) {
	var values [][]byte
	want := map[int64]pipeline.Reason{}
	for reason, bad := range hostile() {
		for _, v := range bad {
			values = append(values, good(len(values)))
			want[100+int64(2*len(values))] = reason
			values = append(values, v)
		}
	}
	b := processed(t, Config{}, batchOf(values...))
	if len(b.Observations) != len(values)/2 {
		t.Errorf("%d of %d good records are left", len(b.Observations), len(values)/2)
	}
	for _, dead := range b.Dead {
		if dead.Reason != want[dead.Offset] {
			t.Errorf("%.60q: %s (%s), want %s", dead.Value, dead.Reason, dead.Detail, want[dead.Offset])
		}
		if dead.Detail == "" || len(dead.Detail) > 400 || dead.Topic != b.Topic || dead.TopicID != b.TopicID || string(dead.Key) != "k" {
			t.Errorf("%.60q: %.500q is no full account", dead.Value, dead.Detail)
		}
	}
}

func TestADeadLetterSaysWhatCouldBeRead(t *testing.T) {
	b := processed(t, Config{}, batchOf([]byte(strings.Replace(string(good(9)), `"n"`, `true`, 1))))
	dead := b.Dead[0]
	if dead.Source != "web" || dead.ID != "9" || dead.Type != "io.whence.behavior.recorded" || dead.Time == 0 || dead.Detail != "data.name: must be a string, is the boolean true" {
		t.Errorf("%+v", dead)
	}
}

func TestProvenanceIsTheRecords(t *testing.T) {
	b := processed(t, Config{}, batchOf(good(0), good(1)))
	want := event.Provenance{ReceivedAt: 1700000000000, Topic: "whence.behavior", Partition: 2, Offset: 102}
	if b.Observations[1].Provenance != want {
		t.Errorf("%+v", b.Observations[1].Provenance)
	}
}

func TestLimits(t *testing.T) {
	size := len(good(0))
	if b := processed(t, Config{MaxEventBytes: size}, batchOf(good(0))); len(b.Dead) != 0 {
		t.Error("an event of the greatest size is refused")
	}
	if b := processed(t, Config{MaxEventBytes: size - 1}, batchOf(good(0))); len(b.Dead) != 1 || b.Dead[0].Reason != pipeline.ReasonTooLarge {
		t.Errorf("%+v", b.Dead)
	}
	nested := []byte(strings.Replace(string(good(0)), `"n"`, `"n","more":{"a":{}}`, 1))
	if b := processed(t, Config{MaxDepth: 3}, batchOf(nested)); len(b.Dead) != 0 {
		t.Errorf("three levels are refused: %s", b.Dead[0].Detail)
	}
	if b := processed(t, Config{MaxDepth: 2}, batchOf(nested)); len(b.Dead) != 1 || b.Dead[0].Reason != pipeline.ReasonTooDeep {
		t.Errorf("%+v", b.Dead)
	}
}

func TestConfigNamesItsKeys(t *testing.T) {
	for want, c := range map[string]Config{
		"max_event_bytes": {MaxEventBytes: 0, MaxDepth: 1}, "max_depth": {MaxEventBytes: 1, MaxDepth: -1},
	} {
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("%v", err)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestReasonsAreThoseOfThePipeline(t *testing.T) {
	for ours, theirs := range map[codec.Reason]pipeline.Reason{
		codec.Empty: pipeline.ReasonEmpty, codec.TooLarge: pipeline.ReasonTooLarge, codec.TooDeep: pipeline.ReasonTooDeep,
		codec.Malformed: pipeline.ReasonMalformed, codec.InvalidUTF8: pipeline.ReasonInvalidUTF8, codec.ContentType: pipeline.ReasonContentType,
		codec.SpecVersion: pipeline.ReasonSpecVersion, codec.Missing: pipeline.ReasonMissing, codec.WrongType: pipeline.ReasonWrongType,
		codec.Invalid: pipeline.ReasonInvalid, codec.Time: pipeline.ReasonTime, codec.UnknownType: pipeline.ReasonUnknownType,
	} {
		if string(ours) != string(theirs) {
			t.Errorf("%s is %s", ours, theirs)
		}
	}
	if reflect.TypeFor[codec.Header]().NumField() != reflect.TypeFor[pipeline.Header]().NumField() {
		t.Error("headers differ")
	}
}

func TestBinaryModeHeadersReachTheEvent(t *testing.T) {
	b := batchOf([]byte("\x83\xa4name\xa1n\xa7service\xa1s\xabenvironment\xa1e"))
	for _, h := range [][2]string{{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "web"}, {"ce_type", "io.whence.behavior.recorded"}, {"ce_time", "2026-11-23T14:05:00Z"}, {"content-type", "application/msgpack"}} {
		b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: h[0], Value: []byte(h[1])})
	}
	want := processed(t, Config{}, batchOf(good(1))).Observations[0]
	if got := processed(t, Config{}, b).Observations[0]; got.Hash != want.Hash || got.Name != "n" {
		t.Errorf("%+v", got)
	}
}

func cdevent(name, subject string) []byte {
	return []byte(`{"context":{"version":"0.5.0","id":"e1","source":"/ci","type":"dev.cdevents.` + name + `","timestamp":"2023-03-20T14:27:05.315384Z","chainId":"c1"},"subject":` + subject + `}`)
}

func TestCDEventsBecomeFactsWhereOneFits(t *testing.T) {
	const (
		purl = "pkg:oci/myapp@sha256%3A0b31b1"
		sha  = "0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa"
	)
	service := `{"id":"app","source":"/k8s","content":{"environment":{"id":"prod"},"artifactId":"` + purl + `"}}`
	incident := `{"id":"i1","content":{"description":"slow","environment":{"id":"prod"},"service":{"id":"app"}}}`
	for _, c := range []struct{ name, subject, want string }{
		{"service.deployed.0.3.0", service, `io.whence.deployment.finished e1 app/prod/HASH {"artifact":"` + purl + `","deployment_id":"app/prod/HASH","environment":"prod","outcome":"success","reason":"deployed","service":"app","version":"sha256:0b31b1"}`},
		{"service.upgraded.0.3.0-draft", service, `io.whence.deployment.finished e1#upgraded app/prod/HASH {"artifact":"` + purl + `","deployment_id":"app/prod/HASH","environment":"prod","outcome":"success","reason":"upgraded","service":"app","version":"sha256:0b31b1"}`},
		{"service.rolledback.0.1.0", service, `io.whence.deployment.finished e1#rolledback app/prod/HASH {"artifact":"` + purl + `","deployment_id":"app/prod/HASH","environment":"prod","outcome":"success","reason":"rolled back","service":"app","version":"sha256:0b31b1"}`},
		{"service.removed.0.3.0", service, ""},
		{"service.deployed.0.3.0", `{"id":"app","content":{"environment":{"id":"prod"}}}`, ""},
		{"service.deployed.0.3.0", `{"id":"app","content":{"artifactId":"v7"}}`, ""},
		{"change.merged.0.3.0", `{"id":"` + sha + `","content":{"description":"fix","repository":{"id":"shop"}}}`, `io.whence.change.merged e1 ` + sha + ` {"change_id":"` + sha + `","merged_at":"2023-03-20T14:27:05.315384Z","repository":"shop","revision":"` + sha + `","title":"fix"}`},
		{"change.merged.0.3.0", `{"id":"12","content":{"repository":{"id":"shop"}}}`, ""},
		{"incident.reported.0.3.0", incident, `io.whence.incident.opened e1 i1 {"environment":"prod","incident_id":"i1","service":"app","title":"slow"}`},
		{"incident.detected.0.3.0", incident, `io.whence.incident.opened e1#detected i1 {"detected_at":"2023-03-20T14:27:05.315384Z","environment":"prod","incident_id":"i1","service":"app","title":"slow"}`},
		{"incident.resolved.0.3.0", incident, `io.whence.incident.resolved e1 i1 {"environment":"prod","incident_id":"i1","service":"app","title":"slow"}`},
		{"incident.resolved.0.3.0", `{"id":"i1","content":{}}`, ""},
		{"build.finished.0.3.0", `{"id":"b1","content":{"artifactId":"a","revision":"r","outcome":"success"}}`, `io.whence.build.finished e1 b1 {"artifact":"a","build_id":"b1","outcome":"success","revision":"r"}`},
		{"build.finished.0.3.0", `{"id":"b1","content":{"artifactId":"a"}}`, ""},
		{"testsuiterun.finished.0.3.0", `{"id":"t1","content":{"outcome":"failure","revision":"r","testSuite":{"id":"9","name":"auth"}}}`, `io.whence.test.finished e1 t1 {"outcome":"failure","revision":"r","run_id":"t1","suite":"auth"}`},
		{"testcaserun.finished.0.3.0", `{"id":"t1","content":{"outcome":"failure","revision":"r","testCase":{"name":"login"},"testSuiteRun":{"id":"s1"}}}`, `io.whence.test.finished e1#testcaserun t1 {"case":"login","outcome":"failure","revision":"r","run_id":"t1","suite":"s1"}`},
		{"artifact.published.0.3.0", `{"id":"pkg:golang/app@v1?vcs_url=git%2Bhttps://forge/app%40abc","content":{}}`, `io.whence.artifact.published e1 pkg:golang/app@v1?vcs_url=git%2Bhttps://forge/app%40abc {"artifact":"pkg:golang/app@v1?vcs_url=git%2Bhttps://forge/app%40abc","revision":"abc"}`},
		{"artifact.published.0.3.0", `{"id":"pkg:golang/app@v1","content":{}}`, ""},
		{"approval.closed.0.1.0", `{"id":"a1","content":{"resourceTargetUrl":"/deploy/7","responder":"bob","decision":"approved"}}`, `io.whence.approval.granted e1 a1 {"approval_id":"a1","by":"bob","subject_id":"/deploy/7","subject_kind":"resource"}`},
		{"approval.closed.0.1.0", `{"id":"a1","content":{"resourceTargetUrl":"/deploy/7","responder":"bob","decision":"rejected"}}`, `io.whence.approval.refused e1 a1 {"approval_id":"a1","by":"bob","subject_id":"/deploy/7","subject_kind":"resource"}`},
		{"approval.closed.0.1.0", `{"id":"a1","content":{"decision":"lapsed"}}`, ""},
		{"ticket.created.0.2.0", `{"id":"t","content":{}}`, ""},
		{"nonsense", `{}`, ""},
	} {
		record := cdevent(c.name, c.subject)
		b := processed(t, Config{}, batchOf(record))
		if c.want == "" {
			if len(b.Others) != 1 || b.Others[0].Type != "dev.cdevents."+c.name || b.Others[0].ID != "e1" {
				t.Errorf("%s is not kept as it is: %+v", record, b)
			}
			continue
		}
		if len(b.Facts) != 1 {
			t.Errorf("%s has become no fact", record)
			continue
		}
		f := b.Facts[0]
		_, original, _ := strings.Cut(f.Data, `"cdevent":`)
		original = original[:strings.Index(original, `"subject":`)]
		if !strings.Contains(original, `"chainId":"c1"`) {
			t.Errorf("%s is not whole in %s", record, f.Data)
		}
		got := fmt.Sprintf("%s %s %s %s", f.Type, f.ID, f.EntityID, withoutCDEvent(t, f.Data))
		if _, hash, ok := strings.Cut(f.EntityID, "app/prod/"); ok {
			got = strings.ReplaceAll(got, hash, "HASH")
		}
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if f.Source != "/ci" || f.Time != 1679322425315 || f.Hash == 0 || f.Offset != 100 {
			t.Errorf("%+v", f)
		}
	}
}

// FuzzCDEvents throws types and subjects at the mapping: each CDEvent is one fact
// that holds it whole, or kept as it is, or one dead letter, and the same bare and
// wrapped in a CloudEvent.
func FuzzCDEvents(f *testing.F) {
	for _, m := range mappings() {
		f.Add(m.from+".0.3.0", []byte(`{"id":"pkg:oci/a@1?vcs_url=git%2Bhttps://forge/a%40abc","source":"/k8s","content":{"environment":{"id":"prod"},"artifactId":"pkg:oci/a@sha256%3A0b31b1",
			"service":{"id":"app"},"repository":{"id":"shop"},"revision":"0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa","outcome":"success","decision":"`+m.when+`","responder":"bob","resourceTargetUrl":"/7",
			"testSuite":{"name":"auth"},"testSuiteRun":{"id":"s"},"testCase":{"name":"login"},"description":"slow"}}`))
	}
	f.Add("service.removed.0.3.0", []byte(`{"id":"app","content":{}}`))
	f.Add("service.deployed", []byte(`[]`))
	p := New(Config{})
	decoded := func(t *testing.T, record []byte) *pipeline.Batch {
		b := batchOf(record)
		if err := p.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for _, d := range b.Dead {
			if strings.Contains(d.Detail, "which is a bug") {
				t.Fatal(d.Detail)
			}
		}
		if n := len(b.Facts) + len(b.Others) + len(b.Dead); n != 1 || len(b.Observations) > 0 {
			t.Fatalf("%d facts, %d kept, %d dead of one record", len(b.Facts), len(b.Others), len(b.Dead))
		}
		return b
	}
	f.Fuzz(func(t *testing.T, name string, subject []byte) {
		bare := cdevent(name, string(subject))
		b := decoded(t, bare)
		if len(b.Dead) > 0 {
			return
		}
		about := "" // the binding of CDEvents to CloudEvents has the subject's id in the attribute
		for _, f := range b.Facts {
			about = f.Subject
		}
		for _, o := range b.Others {
			about = o.Subject
		}
		if about != "" {
			quoted, err := json.Marshal(about)
			if err != nil {
				t.Fatal(err)
			}
			about = `"subject":` + string(quoted) + `,`
		}
		again := decoded(t, []byte(`{"specversion":"1.0","id":"e1","source":"/ci","type":"dev.cdevents.`+name+`","time":"2023-03-20T14:27:05.315384Z",`+about+`"datacontenttype":"application/json","data":`+string(bare)+`}`))
		if len(b.Facts) != len(again.Facts) || len(b.Others) != len(again.Others) {
			t.Fatalf("bare %+v, wrapped %+v", b, again)
		}
		for i, fact := range b.Facts {
			if wrapped := again.Facts[i]; wrapped.Type != fact.Type || wrapped.ID != fact.ID || wrapped.Source != fact.Source || wrapped.Hash != fact.Hash {
				t.Fatalf("bare %+v, wrapped %+v", fact, wrapped)
			}
			if !json.Valid([]byte(fact.Data)) || !strings.Contains(fact.Data, `"cdevent":{`) {
				t.Fatalf("the CDEvent isn't in %s", fact.Data)
			}
		}
		for i, kept := range b.Others {
			if wrapped := again.Others[i]; wrapped.Type != kept.Type || wrapped.ID != kept.ID || wrapped.Source != kept.Source || wrapped.Hash != kept.Hash {
				t.Fatalf("bare %+v, wrapped %+v", kept, wrapped)
			}
		}
	})
}

// withoutCDEvent is data without the member that holds the original.
func withoutCDEvent(t *testing.T, data string) string {
	t.Helper()
	from := strings.Index(data, `"cdevent":{`)
	depth := 0
	for i := from + len(`"cdevent":`); i < len(data); i++ {
		switch data[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				rest := data[i+1:]
				return strings.Replace(data[:from]+strings.TrimPrefix(rest, ","), ",}", "}", 1)
			}
		}
	}
	t.Fatalf("no cdevent in %s", data)
	return ""
}

func TestTheDeepestCDEventComesBackFromTheContextLog(t *testing.T) {
	accepted := 0
	for depth := 50; depth < 70; depth++ {
		nested := strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
		b := processed(t, Config{}, batchOf(cdevent("incident.reported.0.3.0", `{"id":"i","content":{"environment":{"id":"e"},"service":{"id":"s"},"more":`+nested+`}}`)))
		for i := range b.Facts {
			accepted++
			var enc codec.Encoder
			var dec codec.Decoder
			m, err := enc.EncodeFact(&b.Facts[i])
			if err != nil {
				t.Fatal(err)
			}
			if again, err := dec.DecodeFact(m.Value, m.Headers); err != nil || again.Hash != b.Facts[i].Hash || again.Data != b.Facts[i].Data {
				t.Fatal(depth, err)
			}
		}
	}
	if accepted == 0 || accepted == 20 {
		t.Errorf("%d of 20 depths are accepted", accepted)
	}
}

func TestADeploymentIDTellsDeploymentsApart(t *testing.T) {
	is := "deployed"
	id := func(chain, event, environment, artifact string) string {
		record := `{"context":{"id":"` + event + `","source":"/ci","type":"dev.cdevents.service.` + is + `.0.3.0","timestamp":"2023-03-20T14:27:05Z"` + chain + `},"subject":{"id":"app","content":{"environment":{"id":"` + environment + `"},"artifactId":"` + artifact + `"}}}`
		return processed(t, Config{}, batchOf([]byte(record))).Facts[0].EntityID
	}
	one := id(`,"chainId":"c"`, "1", "prod", "v1")
	if one != id(`,"chainId":"c"`, "2", "prod", "v1") {
		t.Error("two events of one chain are two deployments")
	}
	seen := map[string]bool{one: true}
	for _, other := range []string{
		id(`,"chainId":"d"`, "1", "prod", "v1"), id(`,"chainId":"c"`, "1", "test", "v1"), id(`,"chainId":"c"`, "1", "prod", "v2"),
		id("", "1", "prod", "v1"), id("", "2", "prod", "v1"),
	} {
		if seen[other] {
			t.Errorf("%s twice", other)
		}
		seen[other] = true
	}
	if is = "upgraded"; id(`,"chainId":"c"`, "3", "prod", "v1") != one {
		t.Error("an upgrade that the chain has deployed is another deployment")
	}
	if is = "rolledback"; id(`,"chainId":"c"`, "4", "prod", "v1") == one {
		t.Error("going back to v1 is the first deployment of v1")
	}
}

func TestTheCDEventsExamplesAreAllAccepted(t *testing.T) {
	shared := os.Getenv("WHENCE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	files, _ := filepath.Glob(filepath.Join(shared, "data", "cdevents", "*.json"))
	if len(files) == 0 {
		t.Log("the CDEvents examples are not here, so they were not tried")
		return
	}
	var values [][]byte
	for _, name := range files {
		v, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	b := processed(t, Config{}, batchOf(values...))
	for _, dead := range b.Dead {
		t.Errorf("%s: %s", files[(dead.Offset-100)/2], dead.Detail)
	}
	identities := map[string]bool{}
	for _, f := range b.Facts {
		identities[f.Source+"|"+f.ID+"|"+f.Type] = true
	}
	for _, o := range b.Others {
		identities[o.Source+"|"+o.ID+"|"+o.Type] = true
	}
	if len(identities) != len(files) {
		t.Errorf("%d files are %d events", len(files), len(identities))
	}
	t.Logf("%d files: %d facts, %d kept as they are", len(files), len(b.Facts), len(b.Others))
}

func TestEveryMappingNamesFieldsOfItsType(t *testing.T) {
	for _, m := range mappings() {
		typ := event.Lookup(event.Prefix + m.to)
		if typ == nil {
			t.Errorf("%s becomes %s, which does not exist", m.from, m.to)
			continue
		}
		for _, f := range m.fields {
			if typ.Field(f.name) == nil {
				t.Errorf("%s has no field %s", m.to, f.name)
			}
		}
	}
}

func TestTheREADMEHasTheMappingAsItIs(t *testing.T) {
	const begin, end = "<!-- mapping: made by go test ./processors/decode -rewrite -->\n", "<!-- end of mapping -->\n"
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(readme), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has no place for the mapping")
	}
	want := head + begin + mappingTable() + end + tail
	if *rewrite {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(readme) {
		t.Error("README.md is not what the mapping says: run go test ./processors/decode -rewrite")
	}
}

func mappingTable() string {
	var w strings.Builder
	w.WriteString("| CDEvent | becomes | id | fields |\n|---|---|---|---|\n")
	for _, m := range mappings() {
		from, id := "`"+m.from+"`", "as it is"
		if m.when != "" {
			from += ", decision `" + m.when + "`"
		}
		if m.mark != "" {
			id = "with `#" + m.mark + "`"
		}
		var fields []string
		for _, f := range m.fields {
			fields = append(fields, "`"+f.name+"`: "+f.doc)
		}
		fmt.Fprintf(&w, "| %s | `%s` | %s | %s |\n", from, m.to, id, strings.Join(fields, "; "))
	}
	for _, r := range readers() {
		fmt.Fprintf(&w, "\n### %s\n\n", source.Lookup(r.source).Title)
		w.WriteString("| sent | becomes | id | time | fields |\n|---|---|---|---|---|\n")
		for _, line := range r.rows {
			from := "`" + line.from + "`"
			if line.when != "" {
				from += ", " + line.when
			}
			var fields []string
			for _, f := range line.fields {
				fields = append(fields, "`"+f.name+"`: "+f.doc)
			}
			fmt.Fprintf(&w, "| %s | `%s` | %s | %s | %s |\n", from, line.to, line.id, line.time, strings.Join(fields, "; "))
		}
	}
	return w.String()
}

// A batch of a thousand observations, through the whole stage.
func BenchmarkProcess(b *testing.B) {
	var values [][]byte
	for i := range 1000 {
		values = append(values, good(i))
	}
	p, batch := New(Config{}), batchOf(values...)
	b.ReportAllocs()
	for b.Loop() {
		batch.Observations = batch.Observations[:0]
		if err := p.Process(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

func TestAPanicOverARecordIsThatRecordsFault(t *testing.T) {
	p := New(Config{})
	w := p.workers.New().(*worker)
	b := batchOf(fmt.Appendf(nil, behavior, 1))
	events := &codec.Events{}
	err := p.guarded(w, events, b, 99) // there is no such record: whatever looks for it panics
	if err == nil || codec.FaultOf(err).Reason != codec.Malformed || !strings.Contains(err.Error(), "which is a bug") {
		t.Fatalf("got %v", err)
	}
	if err := p.guarded(w, events, b, 0); err != nil || len(events.Observations) != 1 {
		t.Errorf("the worker did not recover: %v, %+v", err, events)
	}
}
