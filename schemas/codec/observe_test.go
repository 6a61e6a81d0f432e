package codec

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/schemas/event"
)

// drawnObservation draws an observation and its data as JSON has it, apart.
func drawnObservation(t *rapid.T) (event.Observation, map[string]any) {
	var names []string
	for _, typ := range event.Types() {
		if typ.Observation {
			names = append(names, typ.Name)
		}
	}
	typ := event.Lookup(rapid.SampledFrom(names).Draw(t, "type"))
	o, data := Blank(typ.Name), map[string]any{}
	o.Source, o.ID, o.Subject = attribute().Draw(t, "source"), attribute().Draw(t, "id"), rapid.SampledFrom([]string{"", "x"}).Draw(t, "subject")
	o.Time = event.Millis(rapid.Int64Range(int64(event.MinTime)-2, int64(event.MaxTime)+2).Draw(t, "time"))
	o.TraceID, o.Region = rapid.SampledFrom([]string{"", "0af7"}).Draw(t, "trace"), rapid.SampledFrom([]string{"", "eu"}).Draw(t, "region")
	for range rapid.IntRange(0, 3).Draw(t, "extensions") {
		o.Extensions = append(o.Extensions, event.Pair{Key: attribute().Draw(t, "key"), Value: attribute().Draw(t, "value")})
	}
	for i := range typ.Fields {
		f := &typ.Fields[i]
		if rapid.IntRange(0, 9).Draw(t, "absent") == 0 || f.Name == "attributes" {
			continue
		}
		switch s := slotOf(f.Name); {
		case s < slotDurationMS:
			*textSlot(&o, s) = attribute().Draw(t, f.Name)
			data[f.Name] = *textSlot(&o, s)
		case s < slotOK:
			n := rapid.OneOf(rapid.Float64Range(-1e300, 1e300), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1e19, 1e20, 3, -7, 0.1})).Draw(t, f.Name)
			if whole := math.Abs(n); whole >= 1<<53 && whole < 1e19 {
				n /= 1 << 32 // its JSON is the digits of another whole number, which are taken at their word
			}
			*numberSlot(&o, s) = n
			data[f.Name] = n
		case s == slotOK:
			o.OK = rapid.SampledFrom([]event.Truth{event.True, event.False}).Draw(t, f.Name)
			data[f.Name] = o.OK == event.True
		case s == slotFrames:
			o.Frames = rapid.SliceOfN(attribute(), 1, 4).Draw(t, f.Name)
			data[f.Name] = o.Frames
		}
	}
	if n := rapid.SampledFrom([]int{0, 1, 5, 40}).Draw(t, "attributes"); n > 0 {
		attributes := map[string]any{}
		for range n {
			a := event.Pair{Key: attribute().Draw(t, "key"), Value: attribute().Draw(t, "value")}
			o.Attributes = append(o.Attributes, a)
			attributes[a.Key] = a.Value
		}
		data["attributes"] = attributes
	}
	return o, data
}

func TestAnObservationMadeInGoIsTheOneThatItsJSONMakes(t *testing.T) {
	from := event.Provenance{Topic: "t", Offset: 7}
	rapid.Check(t, func(rt *rapid.T) {
		o, data := drawnObservation(rt)
		raw, err := json.Marshal(data)
		if err != nil {
			rt.Fatal(err)
		}
		var d Decoder
		var read, made Events
		saying, observing := d.Say(&read, from, o.Event, raw), d.Observe(&made, from, &o)
		if (saying == nil) != (observing == nil) {
			rt.Fatalf("as JSON: %v, in Go: %v", saying, observing)
		}
		if d := difference(read, made); d != "" {
			rt.Fatalf("%s\n%s", raw, d)
		}
	})
}

func TestWhatJSONCannotSayIsNoObservation(t *testing.T) {
	for name, change := range map[string]func(*event.Observation){
		"not of an observation": func(o *event.Observation) { o.Type = "io.whence.deployment.started" },
		"not of any type":       func(o *event.Observation) { o.Type = "com.example.thing" },
		"an infinite number":    func(o *event.Observation) { o.Value = math.Inf(-1) },
		"a name in Latin-1":     func(o *event.Observation) { o.Name = "caf\xe9" },
		"a key in Latin-1":      func(o *event.Observation) { o.Attributes = []event.Pair{{Key: "caf\xe9"}} },
		"no service":            func(o *event.Observation) { o.Service = "" },
		"no time":               func(o *event.Observation) { o.Time = 0 },
		"no id":                 func(o *event.Observation) { o.ID = "" },
	} {
		o := Blank("io.whence.behavior.recorded")
		o.Source, o.ID, o.Time, o.Name, o.Service, o.Environment = "s", "i", event.MinTime, "n", "s", "e"
		change(&o)
		var out Events
		if err := new(Decoder).Observe(&out, event.Provenance{}, &o); err == nil || FaultOf(err) == nil || len(out.Observations) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := Blank("io.whence.error.occurred")
	o.Source, o.ID, o.Time, o.Fingerprint, o.Service, o.Environment, o.Frames = "s", "i", event.MinTime, "f", "s", "e", []string{"\xff"}
	if err := new(Decoder).Observe(&Events{}, event.Provenance{}, &o); err == nil || !strings.Contains(err.Error(), "frames") {
		t.Errorf("a frame in Latin-1: %v", err)
	}
}

func BenchmarkObserve(b *testing.B) {
	o := Blank("io.whence.behavior.recorded")
	o.Source, o.ID, o.Time, o.Name, o.Service, o.Environment = "otlp/shop/cart", "0102030405060708090a0b0c0d0e0f10/0102030405060708", event.MinTime, "GET /cart", "cart", "production"
	for _, key := range []string{"http.request.method", "http.route", "url.path", "url.scheme", "server.address", "server.port", "http.response.status_code", "client.address", "user_agent.original", "network.protocol.version", "user.id", "k8s.pod.name"} {
		o.Attributes = append(o.Attributes, event.Pair{Key: key, Value: "a value of a span"})
	}
	var d Decoder
	var out Events
	b.ReportAllocs()
	for b.Loop() {
		out.Observations = out.Observations[:0]
		if err := d.Observe(&out, event.Provenance{}, &o); err != nil {
			b.Fatal(err)
		}
	}
}
