package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const cdevent = `{"context":{"specversion":"0.5.0","id":"c1","source":"ci","type":"dev.cdevents.incident.detected.0.3.0","timestamp":"2026-11-26T14:00:00Z"},` +
	`"subject":{"id":"i1","source":"ci","content":{"description":"d","environment":{"id":"production"},"service":{"id":"shop"}}}}`

func TestAnEventGoesToTheTopicOfItsType(t *testing.T) {
	w := gatewayWith(t, nil)
	opened := strings.NewReplacer("behavior.recorded", "incident.opened", `{"name":"checkout",`, `{"incident_id":"i","title":"t",`).Replace(behavior)
	for name, tc := range map[string]struct{ body, media, topic, key, kept string }{
		"an observation":                     {behavior, cloudEventType, "whence.behavior", "shop|1", "content-type: " + cloudEventType},
		"a fact":                             {opened, cloudEventType + "; charset=utf-8", "whence.incidents", "shop|1", "content-type: " + cloudEventType + "; charset=utf-8"},
		"a type from elsewhere":              {strings.Replace(behavior, "io.whence.", "com.example.", 1), cloudEventType, "whence.delivery", "shop|1", "content-type: " + cloudEventType},
		"one that says it is JSON":           {behavior, "application/json", "whence.behavior", "shop|1", "content-type: application/json"},
		"a CDEvent":                          {cdevent, "application/json", "whence.incidents", "ci|c1#detected", "content-type: application/json"},
		"one with a partition key":           {strings.Replace(behavior, `"id":"1"`, `"id":"1","partitionkey":"p"`, 1), cloudEventType, "whence.behavior", "p", "content-type: " + cloudEventType},
		"a whole one in msgpack is its kind": {"\x86\xabspecversion\xa31.0\xa2id\xa11\xa6source\xa4shop\xa4type\xa9com.other\xa4time\xb42026-11-26T14:00:00Z\xa4data\x80", msgpackType, "whence.delivery", "shop|1", "content-type: " + msgpackType},
	} {
		w.test = t
		sent := w.takes("/v1/events", []byte(tc.body), "Content-Type", tc.media)
		if len(sent) != 1 || sent[0].Topic != tc.topic || string(sent[0].Key) != tc.key || string(sent[0].Value) != tc.body || headersOf(sent[0]) != tc.kept {
			t.Errorf("%s: %s %s\n%s\n%s", name, sent[0].Topic, sent[0].Key, headersOf(sent[0]), sent[0].Value)
		}
	}
}

func TestABatchIsARecordForEachEvent(t *testing.T) {
	w := gatewayWith(t, nil)
	for _, media := range []string{batchType, "application/json"} {
		sent := w.takes("/v1/events", []byte(" ["+behavior+",\n"+cdevent+"]"), "Content-Type", media)
		if len(sent) != 2 || string(sent[0].Value) != behavior || string(sent[1].Value) != cdevent || sent[0].Topic != "whence.behavior" || sent[1].Topic != "whence.incidents" {
			t.Errorf("%+v", sent)
		}
	}
	if sent := w.takes("/v1/events", []byte("[]"), "Content-Type", batchType); len(sent) != 0 {
		t.Errorf("%+v", sent)
	}
	many := make([]string, 1501) // in several parts
	for i := range many {
		many[i] = strings.Replace(behavior, `"id":"1"`, fmt.Sprintf(`"id":"%d"`, i), 1)
	}
	if sent := w.takes("/v1/events", []byte("["+strings.Join(many, ",")+"]"), "Content-Type", batchType); len(sent) != len(many) || string(sent[1500].Key) != "shop|1500" {
		t.Errorf("%d records", len(sent))
	}
	many[1200] = `{}`
	if p := w.refuses(http.StatusBadRequest, "/v1/events", []byte("["+strings.Join(many, ",")+"]"), "Content-Type", batchType); !strings.HasPrefix(p.Field, "[1200]") {
		t.Errorf("%+v", p)
	}
	w.refuses(http.StatusRequestEntityTooLarge, "/v1/events", []byte("[0"+strings.Repeat(",0", maxBatch)+"]"), "Content-Type", batchType)
}

// The HTTP binding's section 3.1.3.2, with its own examples.
func TestAttributesInHeadersAreDecoded(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                           "plain",
		"Euro%20%E2%82%AC%20%F0%9F%98%80": "Euro € 😀",
		"50%":                             "50%",
		"%zz %4":                          "%zz %4",
		`"quoted \"text\" \\ %20"`:        `quoted "text" \  `,
		"%25":                             "%",
		"%e2%82%ac":                       "€",
		`"`:                               `"`,
		"":                                "",
	} {
		if got, ok := attributeText(text); !ok || string(got) != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if _, ok := attributeText("%ff"); ok {
		t.Error("what is no UTF-8 is taken")
	}
}

func TestBinaryModeIsARecordInBinaryMode(t *testing.T) {
	w := gatewayWith(t, nil)
	attributes := []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "shop", "ce-type", "io.whence.behavior.recorded", "ce-time", "2026-11-26T14:00:00Z", "ce-subject", "a%20b", "traceparent", "t"}
	data := `{"name":"checkout","service":"shop","environment":"production"}`
	sent := w.takes("/v1/events", []byte(data), append(attributes, "Content-Type", "application/json")...)
	const want = "ce_id: 1\nce_source: shop\nce_specversion: 1.0\nce_subject: a b\nce_time: 2026-11-26T14:00:00Z\nce_type: io.whence.behavior.recorded\ncontent-type: application/json"
	if headersOf(sent[0]) != want || string(sent[0].Value) != data || sent[0].Topic != "whence.behavior" || string(sent[0].Key) != "shop|1" {
		t.Errorf("%s %s\n%s", sent[0].Topic, sent[0].Key, headersOf(sent[0]))
	}
	// Data of other types may be anything.
	attributes[7] = "com.example.picture"
	sent = w.takes("/v1/events", []byte("\x89PNG"), append(attributes, "Content-Type", "image/png")...)
	if string(sent[0].Value) != "\x89PNG" || !strings.HasSuffix(headersOf(sent[0]), "content-type: image/png") {
		t.Errorf("%q %s", sent[0].Value, headersOf(sent[0]))
	}
	// An event without data is structured: a record without a value is none.
	sent = w.takes("/v1/events", nil, attributes...)
	if want := `{"id":"1","source":"shop","specversion":"1.0","subject":"a b","time":"2026-11-26T14:00:00Z","type":"com.example.picture"}`; string(sent[0].Value) != want || headersOf(sent[0]) != "content-type: "+cloudEventType {
		t.Errorf("%s\n%s", sent[0].Value, headersOf(sent[0]))
	}
}
