package decode

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/codec"
	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

// Product events: Segment's messages (its Spec: track, page, screen, identify,
// group, alias; its HTTP API: batch), PostHog's captures, and Snowplow's enriched
// events as its Analytics SDKs write them. The libraries of these tools send and
// don't read, so the few fields that have a place are named here, and all others
// go along as attributes.

func trackReader() reader {
	rules := trackRules()
	return reader{source: "track", loose: true, rows: rows(rules), read: func(p *payload, s *said) error {
		list := s.doc.Root() // p.body, parsed
		if list.Kind() == value.Object {
			list = list.Field("batch")
		}
		if most := MostMessages(len(p.body)); list.Len() > most {
			return &codec.Fault{Reason: codec.TooLarge, Detail: fmt.Sprintf("batch: %d messages, %d are allowed for its length", list.Len(), most)}
		}
		items, shared, err := trackItems(p.body)
		if err != nil {
			return err
		}
		known := false // any of them for what it is
		for _, item := range items {
			s.unplaced, s.refused = nil, 0
			ofKind, err := s.track(rules, item, shared)
			if err != nil {
				return err
			}
			known = known || ofKind
		}
		if len(items) > 0 && !known {
			return unkind("type")
		}
		if len(items) == 0 {
			return s.keep("com.segment.batch", "track", p.digest(), time.Time{}, withoutCredentials(p.body))
		}
		return nil
	}}
}

// MostMessages is how many product events a body of so many bytes may have. Each
// becomes an event, if only one that keeps it, and has at least 32 bytes where
// there are more than a few.
func MostMessages(body int) int { return fewElements + body/32 }

// trackItems are the messages of a body: one, a list, or the list in `batch`,
// which may say once for all of them when it was sent and in which context.
func trackItems(body []byte) (items []json.RawMessage, shared map[string]json.RawMessage, err error) {
	if body = bytes.TrimLeft(body, " \t\r\n"); body[0] == '[' {
		return items, nil, json.Unmarshal(body, &items)
	}
	if err := json.Unmarshal(body, &shared); err != nil {
		return nil, nil, err
	}
	batch, ok := shared["batch"]
	if !ok {
		return []json.RawMessage{body}, nil, nil
	}
	return items, shared, json.Unmarshal(batch, &items)
}

// track says one message, or keeps it, and tells whether it has a kind.
func (s *said) track(rules []rule[*tracked], item json.RawMessage, shared map[string]json.RawMessage) (ofKind bool, err error) {
	t, err := trackedIn(s.payload, item, shared)
	if err != nil {
		s.refuse("message", err)
		t = &tracked{id: digestOf(item), kept: "com.segment.message"}
	}
	before := len(s.events.Observations)
	if err == nil {
		apply(s, rules, t.kind, t.origin(), t)
	}
	if len(s.events.Observations) > before {
		return true, nil
	}
	at := t.at
	if ms := event.MillisOf(at); ms < event.MinTime || ms >= event.MaxTime {
		at = time.Time{}
	}
	if t.kind == "" && err == nil {
		s.unplaced = append(s.unplaced, "message: no type")
	}
	return t.kind != "", s.keep(t.kept, t.origin(), t.id, at, withoutCredentials(item))
}

// credentials are what clients write into each message to say whose it is:
// Segment's write key, which the gateway may have for its token, and PostHog's
// project. They are of the sender, not of what happened, and everybody who may
// read events would have them.
var credentials = []string{"writeKey", "api_key"}

// withoutCredentials is a message, or what is left of it.
func withoutCredentials(item json.RawMessage) json.RawMessage {
	found := bytes.Contains(item, []byte(`"token"`))
	for _, name := range credentials {
		found = found || bytes.Contains(item, []byte(name))
	}
	var all, properties map[string]json.RawMessage
	if !found || json.Unmarshal(item, &all) != nil || all == nil {
		return item
	}
	_ = json.Unmarshal(all["properties"], &properties) // it may be anything
	if !dropCredentials(all, properties) {
		return item
	}
	if properties != nil {
		all["properties"], _ = json.Marshal(properties)
	}
	left, err := json.Marshal(all)
	if err != nil {
		return item
	}
	return left
}

// dropCredentials takes them out of a message and its properties, and tells
// whether there were any. A token is PostHog's, or the sender's own word.
func dropCredentials(message, properties map[string]json.RawMessage) bool {
	before := len(message) + len(properties)
	for _, name := range credentials {
		delete(message, name)
	}
	if isPostHog(message, properties) {
		delete(message, "token")
		delete(properties, "token")
	}
	return len(message)+len(properties) < before
}

func isPostHog(message, properties map[string]json.RawMessage) bool {
	return message["distinct_id"] != nil || message["type"] == nil && properties["distinct_id"] != nil
}

// tracked is one message, whoever's.
type tracked struct {
	*payload
	kind, kept                string // of the message, and its type where it is kept
	id, name, app, version    string
	user, anonymous, previous string
	session                   string
	at                        time.Time
	properties                map[string]json.RawMessage
	rest                      map[string]json.RawMessage // what has no place of its own
}

func (t *tracked) origin() string { return "track/" + t.serviceName() }

// serviceName is the app's as the message states it, the hint, or the host that
// it was seen on.
func (t *tracked) serviceName() string {
	if t.payload == nil {
		return unknownService
	}
	return cmp.Or(t.service(t.app), t.host(), unknownService)
}

func (t *tracked) host() string {
	var page struct {
		URL text `json:"url"`
	}
	_ = json.Unmarshal(t.rest["context.page"], &page) // no page, no host
	for _, address := range []string{string(page.URL), t.property("$current_url"), t.restText("page_url")} {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	return t.property("$host")
}

// text is a string that careless clients send as a number or a truth; what is
// none of these is empty.
type text string

// UnmarshalJSON never fails on what is JSON.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = text(plainText(b))
	return nil
}

func plainText(raw json.RawMessage) string {
	var s string
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || string(raw) == "null":
		return ""
	case raw[0] == '"':
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	return string(raw)
}

func (t *tracked) property(names ...string) string {
	for _, name := range names {
		if s := plainText(t.properties[name]); s != "" {
			return s
		}
	}
	return ""
}

func (t *tracked) restText(name string) string { return plainText(t.rest[name]) }

// number is the first of the properties that is one, as itself or in a string,
// and its name.
func (t *tracked) number(names ...string) (n float64, name string) {
	for _, name := range names {
		if n, err := strconv.ParseFloat(t.property(name), 64); err == nil && finite(n) {
			return n, name
		}
	}
	return 0, ""
}

// value is what a behaviour was worth, and the property that says so.
func (t *tracked) value() (n float64, name string) { return t.number("revenue", "value", "total") }

// trackedIn reads a message, with what its batch says for all of them.
func trackedIn(p *payload, item json.RawMessage, shared map[string]json.RawMessage) (*tracked, error) {
	t := &tracked{payload: p}
	if err := json.Unmarshal(item, &t.rest); err != nil {
		return nil, err
	}
	if t.rest == nil {
		return nil, errors.New("null")
	}
	for _, name := range []string{"sentAt", "context"} {
		if v, ok := shared[name]; ok && t.rest[name] == nil {
			t.rest[name] = v
		}
	}
	for _, name := range []string{"properties", "traits"} {
		_ = json.Unmarshal(t.rest[name], &t.properties) // what is no object stays where it is
		if t.properties != nil {
			delete(t.rest, name)
			break
		}
	}
	dropCredentials(t.rest, t.properties)
	switch {
	case t.rest["event_id"] != nil && t.rest["collector_tstamp"] != nil:
		t.snowplow()
	case isPostHog(t.rest, t.properties):
		t.posthog()
	default:
		t.segment()
	}
	if t.id == "" {
		t.id = digestOf(item)
	}
	if t.at.IsZero() {
		t.at = p.received.Time()
	}
	return t, nil
}

// take is a member that has a place of its own, of the rest.
func (t *tracked) take(names ...string) string {
	found := ""
	for _, name := range names {
		if s := t.restText(name); s != "" {
			if found == "" {
				found = s
			}
			delete(t.rest, name)
		}
	}
	return found
}

func (t *tracked) segment() {
	var context map[string]json.RawMessage
	_ = json.Unmarshal(t.rest["context"], &context)
	for name, v := range context {
		t.rest["context."+name] = v
	}
	if context != nil {
		delete(t.rest, "context")
	}
	if t.at = t.segmentTime(); !t.at.IsZero() {
		for _, name := range []string{"timestamp", "receivedAt", "sentAt", "originalTimestamp"} {
			if !timeIn(t.restText(name)).IsZero() {
				delete(t.rest, name)
			}
		}
	}
	t.kind = t.take("type")
	t.name = t.take("event")
	if t.kind == "" && t.name != "" {
		t.kind = "track" // its endpoint says so
	}
	t.kept = "com.segment." + cmp.Or(t.kind, "message")
	t.id, t.user, t.anonymous, t.previous = t.take("messageId"), t.take("userId"), t.take("anonymousId"), t.take("previousId")
	if t.kind == "page" || t.kind == "screen" {
		t.name = strings.TrimSpace(t.kind + " " + cmp.Or(t.take("name"), t.property("name")))
	}
	var app struct {
		Name    text `json:"name"`
		Version text `json:"version"`
	}
	_ = json.Unmarshal(t.rest["context.app"], &app)
	t.app, t.version = string(app.Name), string(app.Version)
	t.session = cmp.Or(t.restText("context.sessionId"), t.property("session_id", "sessionId"))
	if t.kind == "track" && exposures[strings.ToLower(t.name)] {
		t.kind = "exposure"
	}
}

// segmentTime is when it happened (Segment's Spec, "Timestamps"): `timestamp`,
// which Segment has corrected by the skew of the client's clock where the message
// came through it; else the same sum over what the body holds; else the client's
// clock. When Whence took it is no part of the sum: sent again, the message would
// have happened at another time, and be another event.
func (t *tracked) segmentTime() time.Time {
	if at := timeIn(t.restText("timestamp")); !at.IsZero() {
		return at
	}
	received, sent, original := timeIn(t.restText("receivedAt")), timeIn(t.restText("sentAt")), timeIn(t.restText("originalTimestamp"))
	switch {
	case original.IsZero():
		return sent
	case received.IsZero() || sent.IsZero():
		return original
	}
	return received.Add(original.Sub(sent))
}

func (t *tracked) posthog() {
	if t.name = t.take("event"); t.name != "" {
		t.kind = "track"
	}
	t.kept = "com.posthog." + cmp.Or(t.name, "message")
	t.user = cmp.Or(t.take("distinct_id"), t.property("distinct_id"))
	t.id = cmp.Or(t.take("uuid"), t.property("$insert_id"))
	t.at = timeIn(cmp.Or(t.take("timestamp"), t.property("timestamp")))
	t.session, t.version, t.app = t.property("$session_id"), t.property("$app_version"), t.property("$app_name")
	switch t.name {
	case "$identify":
		t.kind, t.anonymous = "identify", t.property("$anon_distinct_id")
	case "$create_alias":
		t.kind, t.previous = "alias", t.property("alias")
	case "$feature_flag_called", "$experiment_started":
		t.kind = "exposure"
	case "$pageview":
		t.name = "page"
	case "$screen":
		t.name = strings.TrimSpace("screen " + t.property("$screen_name"))
	}
}

func (t *tracked) snowplow() {
	t.kind, t.kept = "track", snowplowEvent
	t.id, t.app, t.version = t.take("event_id"), t.take("app_id"), t.restText("app_version")
	t.name = cmp.Or(t.restText("se_action"), t.restText("event_name"), t.restText("event"))
	t.user, t.anonymous = t.take("user_id"), cmp.Or(t.restText("domain_userid"), t.restText("network_userid"))
	t.session = t.take("domain_sessionid")
	t.at = timeIn(cmp.Or(t.restText("derived_tstamp"), t.restText("collector_tstamp")))
	t.properties = map[string]json.RawMessage{}
	if v := t.rest["se_value"]; v != nil {
		t.properties["value"] = v
	}
}

// exposures are the names of events that say which variant a unit met: Segment's
// A/B testing spec, Mixpanel's and Amplitude's.
var exposures = map[string]bool{
	"experiment viewed": true, "experiment started": true, "$experiment_started": true, "$feature_flag_called": true, "$exposure": true,
}

var trackLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999Z0700"}

// timeIn reads the times that clients send: RFC 3339, without a zone as UTC, and
// seconds or milliseconds since 1970; the zero time where it is none.
func timeIn(s string) time.Time {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case 1e8 < n && n < 1e11:
			return time.UnixMilli(int64(n * 1000)).UTC()
		case 1e11 <= n && n < 1e14:
			return time.UnixMilli(int64(n)).UTC()
		}
		return time.Time{}
	}
	for _, layout := range trackLayouts {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// person is who did it: the user, or the visitor while nobody knows more.
func (t *tracked) person() string { return cmp.Or(t.user, t.anonymous) }

// attributes are the properties, and what else the message says.
func (t *tracked) attributes() map[string]json.RawMessage {
	all := maps.Clone(t.rest)
	for name, v := range t.properties {
		all[name] = v
	}
	if t.anonymous != "" {
		all["anonymous_id"], _ = json.Marshal(t.anonymous)
	}
	return all
}

// behavior is attributes without the one that is the value.
func (t *tracked) behavior() any {
	all := t.attributes()
	if _, name := t.value(); name != "" {
		delete(all, name)
		if t.kept == snowplowEvent {
			delete(all, "se_value")
		}
	}
	return all
}

const snowplowEvent = "com.snowplowanalytics.event"

func trackRules() []rule[*tracked] {
	type f = field[*tracked]
	id := f{doc: "`messageId`, `uuid`, `event_id`, else a digest of the message", from: func(t *tracked) any { return t.id }}
	at := f{doc: "`timestamp`; see below", from: func(t *tracked) any { return t.at }}
	service := f{"service", "`context.app.name`, `$app_name`, `app_id`, the hint, the page's host, `unknown_service`", func(t *tracked) any { return t.serviceName() }}
	environment := f{"environment", "the hint, the default", func(t *tracked) any { return t.environment() }}
	attributes := f{"attributes", "`properties` or `traits`, and all that has no place of its own", func(t *tracked) any { return t.attributes() }}
	person := "`userId`, else `anonymousId`; `distinct_id`; `user_id`, else `domain_userid`"
	behavior := []field[*tracked]{
		{"name", "`event`; page or screen and its `name`; `se_action`, `event_name`", func(t *tracked) any { return t.name }},
		service, environment,
		{"user", person, func(t *tracked) any { return t.person() }},
		{"session", "`context.sessionId`, `session_id`, `$session_id`, `domain_sessionid`", func(t *tracked) any { return t.session }},
		{"version", "`context.app.version`, `$app_version`, `app_version`, the hint", func(t *tracked) any { return cmp.Or(t.version, t.hint("version")) }},
		{"value", "`revenue`, `value`, `total`, `se_value`", func(t *tracked) any {
			if n, name := t.value(); name != "" {
				return n
			}
			return nil
		}},
		{"attributes", "`properties` without what is the value, and all that has no place of its own", func(t *tracked) any { return t.behavior() }},
	}
	identified := func(anonymous func(*tracked) string, doc string) []field[*tracked] {
		return []field[*tracked]{
			{"anonymous_id", doc, func(t *tracked) any { return anonymous(t) }},
			{"user", "`userId`, `distinct_id`", func(t *tracked) any { return t.user }},
		}
	}
	return []rule[*tracked]{
		{from: "track", to: "behavior.recorded", id: id, time: at, fields: behavior},
		{from: "page", to: "behavior.recorded", id: id, time: at, fields: behavior},
		{from: "screen", to: "behavior.recorded", id: id, time: at, fields: behavior},
		{
			from: "exposure", when: "`Experiment Viewed`, `Experiment Started`, `$experiment_started`, `$feature_flag_called`, `$exposure`",
			to: "experiment.exposed", id: id, time: at, fields: []field[*tracked]{
				{"experiment", "`experiment_name`, `experiment_id`, `$feature_flag`, `flag_key`, `Experiment name`", func(t *tracked) any {
					return t.property("experiment_name", "experimentName", "experiment_id", "experimentId", "$feature_flag", "flag_key", "Experiment name")
				}},
				{"variant", "`variation_name`, `variation_id`, `variant`, `$feature_flag_response`, `Variant name`", func(t *tracked) any {
					return t.property("variation_name", "variationName", "variation_id", "variationId", "variant", "$feature_flag_response", "Variant name")
				}},
				{"unit_id", person, func(t *tracked) any { return t.person() }},
				service, environment, attributes,
			},
		},
		{from: "identify", to: "user.identified", id: id, time: at,
			fields: append(identified(func(t *tracked) string { return t.anonymous }, "`anonymousId`, `$anon_distinct_id`"), attributes)},
		{from: "alias", to: "user.identified", id: id, time: at,
			fields: append(identified(func(t *tracked) string { return t.previous }, "`previousId`, `alias`"), attributes)},
	}
}
