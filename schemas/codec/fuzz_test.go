package codec

import (
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// FuzzDecode looks for records that break the decoder, or that become one
// event and no fault and are not the same event when sent on.
func FuzzDecode(f *testing.F) {
	seed := func(val, contentType string, headers ...string) {
		f.Add([]byte(val), contentType, strings.Join(headers, "\n"))
	}
	const binary = "specversion=1.0\nid=1\nsource=s\ntime=2026-11-23T14:05:00Z\ntype=io.whence."
	seed(thirteen, "")
	seed(deploymentLine, "application/cloudevents+json")
	seed(`{"name":"n"}`, "application/json", binary+"behavior.recorded")
	seed("\x81\xa4name\xa1n", "application/msgpack", binary+"behavior.recorded")
	seed("\xdf\xff\xff\xff\xff", "application/msgpack", binary+"behavior.recorded")
	seed(strings.Repeat("[", 100_000), "", binary+"deployment.started")
	seed(strings.Repeat("\x91", 100_000), "application/cloudevents+msgpack")
	seed(`{"name":"`+"\xff"+`"}`, "application/json", binary+"behavior.recorded")
	seed(thirteen[:len(thirteen)/2], "")
	seed(strings.Replace(thirteen, "2026-", "0000-", 1), "")
	seed(strings.Replace(thirteen, "2026-", "2101-", 1), "")
	seed(`{"context":{"id":"i","source":"/s","type":"dev.cdevents.service.deployed.0.1.1","timestamp":"2023-03-20T14:27:05Z"},"subject":{"id":"app","content":{}}}`, "")
	seed(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-23T14:05:00Z","data_base64":"gaFhAQ==","datacontenttype":"application/msgpack"}`, "")
	seed(`hello`, "text/plain", strings.Replace(binary, "io.whence.", "com.example", 1))
	seed(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-23t14:05:60.5z","data_base64":"AAF=","datacontenttype":"image/png","x":true}`, "")
	seed(`{"team":"t","tenant":true,"region":1.5}`, "application/json", binary+"team.declared\ntenant=true\nregion=1.5\ndata=x\ncontext=\ndataschema=d")
	f.Fuzz(func(t *testing.T, val []byte, contentType, attributes string) {
		var headers []Header
		if contentType != "" {
			headers = append(headers, Header{"content-type", []byte(contentType)})
		}
		for _, attribute := range strings.Split(attributes, "\n") {
			if name, text, ok := strings.Cut(attribute, "="); ok {
				headers = append(headers, Header{"ce_" + name, []byte(text)})
			}
		}
		var events Events
		err := new(Decoder).Decode(&events, event.Provenance{}, val, headers)
		n := len(events.Facts) + len(events.Observations) + len(events.Others)
		if err != nil {
			if f := FaultOf(err); f == nil || f.Reason == "" || f.Detail == "" || n != 0 {
				t.Fatalf("%v, %d events", err, n)
			}
			return
		}
		if n != 1 {
			t.Fatalf("%d events of one record", n)
		}
		for i := range events.Facts {
			var enc Encoder
			m, err := enc.EncodeFact(&events.Facts[i])
			if err != nil {
				t.Fatal(err)
			}
			again, err := new(Decoder).DecodeFact(m.Value, m.Headers)
			if d := difference(events.Facts[i], again); err != nil || d != "" {
				t.Fatalf("the context log has another fact: %v %s", err, d)
			}
			payload, err := new(Payloads).Read(again.Type, []byte(again.Data))
			if d := difference(events.Facts[i].Payload, payload); err != nil || d != "" {
				t.Fatalf("the store has another fact: %v %s", err, d)
			}
		}
		if len(headers) > 0 || value.IsMsgpackMap(val[0]) {
			return
		}
		for _, format := range []Format{BinaryMsgpack, StructuredJSON} {
			var enc Encoder
			m, err := enc.Line(val, format)
			if err != nil {
				t.Fatal(err)
			}
			var again Events
			err = new(Decoder).Decode(&again, event.Provenance{}, m.Value, m.Headers)
			if d := difference(events, again); err != nil || d != "" {
				t.Fatalf("published as %d it is another event: %v %s", format, err, d)
			}
		}
	})
}
