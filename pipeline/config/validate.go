package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/source"
)

// Violation is a value that can't work, named by its key path.
type Violation struct {
	Path, Message, Hint string
}

func (v Violation) String() string { return v.Path + ": " + v.Message }

// Validate says what can't work; nothing where all is well. It opens no file
// and no connection.
func (c *Config) Validate() []Violation {
	var v violations
	v.kafka(c.Kafka)
	v.topics(c.Kafka.Topics)
	v.clickHouse(c.ClickHouse)
	v.timeouts(c)
	v.limits(c)
	if c.Decode.Defaults.Environment == "" {
		v.add("decode.defaults.environment", "leave the key out for production", "is empty: what is of no environment is of no use")
	}
	v.observe(c.Observe)
	v.oneOf("offsets.on_lost", c.Offsets.OnLost, OnLostFail, OnLostLedger, OnLostEarliest)
	v.stages(c.Stages)
	v.foreverOrAnHour("horizon", c.Horizon)
	v.foreverOrAnHour("history.keep", c.History.Keep)
	v.atLeast("seal.after", c.Seal.After, Duration(time.Second))
	v.notify(c.Notify)
	v.ingest(c.Ingest, c.Limits)
	return v
}

type violations []Violation

func (v *violations) add(path, hint, format string, args ...any) {
	*v = append(*v, Violation{path, fmt.Sprintf(format, args...), hint})
}

func (v *violations) oneOf(path, have string, allowed ...string) {
	if !slices.Contains(allowed, have) {
		v.add(path, "", "want one of %s, have %q", strings.Join(allowed, ", "), have)
	}
}

func (v *violations) atLeast(path string, have, least Duration) {
	if have < least {
		v.add(path, "", "want at least %s, have %s", least, have)
	}
}

func (v *violations) foreverOrAnHour(path string, have Duration) {
	if have > 0 && have < Duration(time.Hour) {
		v.add(path, "0 is for ever", "want at least 1h0m0s, have %s", have)
	}
}

func (v *violations) address(path, have string) {
	if _, _, err := net.SplitHostPort(have); err != nil {
		v.add(path, "", "want host:port, have %q", have)
	}
}

func (v *violations) kafka(k Kafka) {
	if len(k.Seeds) == 0 {
		v.add("kafka.seeds", "", "want at least one host:port")
	}
	for i, s := range k.Seeds {
		v.address(fmt.Sprintf("kafka.seeds[%d]", i), s)
	}
	if k.Group == "" {
		v.add("kafka.group", "all workers of one installation share a group", "is empty")
	}
	if (k.TLS.CertFile == "") != (k.TLS.KeyFile == "") {
		v.add("kafka.tls", "", "cert_file and key_file go together")
	}
	v.sasl(k.SASL)
	v.fetch(k.Fetch)
}

func (v *violations) sasl(s SASL) {
	v.oneOf("kafka.sasl.mechanism", s.Mechanism, "", Plain, ScramSHA256, ScramSHA512)
	if s.Mechanism != "" && s.Username == "" {
		v.add("kafka.sasl.username", "", "is empty, and kafka.sasl.mechanism is set")
	}
	if s.Mechanism != "" && (s.PasswordFile == "") == (s.PasswordEnv == "") {
		v.add("kafka.sasl", "", "want one of password_file and password_env")
	}
}

func (v *violations) fetch(f Fetch) {
	if f.MinBytes < 1 {
		v.add("kafka.fetch.min_bytes", "", "want at least 1")
	}
	v.atLeast("kafka.fetch.max_wait", f.MaxWait, Duration(10*time.Millisecond))
	if f.MaxPartitionBytes < 1<<10 {
		v.add("kafka.fetch.max_partition_bytes", "", "want at least 1KiB, have %s", f.MaxPartitionBytes)
	}
	if f.MaxBytes < f.MaxPartitionBytes {
		v.add("kafka.fetch.max_bytes", "", "want at least max_partition_bytes (%s), have %s", f.MaxPartitionBytes, f.MaxBytes)
	}
	if f.MaxRecords < 100 || f.MaxRecords > 1_000_000 {
		v.add("kafka.fetch.max_records", "", "want 100 to 1000000, have %d", f.MaxRecords)
	}
}

// Kafka's own rule for a topic's name (org.apache.kafka.common.internals.Topic).
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// TopicName tells whether Kafka takes it.
func TopicName(name string) bool {
	return topicName.MatchString(name) && name != "." && name != ".."
}

func (v *violations) topics(t Topics) {
	if len(t.Inputs) == 0 {
		v.add("kafka.topics.inputs", "", "want at least one topic")
	}
	taken := map[string]string{}
	name := func(path, full string) {
		switch other, twice := taken[full]; {
		case twice:
			v.add(path, "", "%q is %s already", full, other)
		case !TopicName(full):
			v.add(path, "letters, digits, `.`, `_` and `-`, 249 at most", "%q is no name for a topic", full)
		default:
			taken[full] = path
		}
	}
	name("kafka.topics.context", t.ContextName())
	name("kafka.topics.deadletter", t.DeadLetterName())
	name("kafka.topics.links", t.LinksName())
	for i, full := range t.InputNames() {
		at := fmt.Sprintf("kafka.topics.inputs[%d]", i)
		v.input(at, t.Inputs[i])
		if t.Inputs[i].Foreign() {
			name(at+".topic", full)
		} else {
			name(at+".name", full)
		}
	}
	if t.Replication < 0 {
		v.add("kafka.topics.replication", "0 is the broker's default", "want 0 or more, have %d", t.Replication)
	}
}

func (v *violations) input(at string, in Topic) {
	switch {
	case in.Foreign() && in.Name != "":
		v.add(at, "name is for a topic of whence's own, which gets the prefix; topic is for another's, in full", "want one of name and topic")
	case in.Foreign() && in.Partitions < 0:
		v.add(at+".partitions", "leave it out to have the topic read and never created", "want 0 or more, have %d", in.Partitions)
	case !in.Foreign() && in.Partitions < 1:
		v.add(at+".partitions", "", "want at least 1, have %d", in.Partitions)
	}
	if _, err := source.ParseFormat(in.Format); err != nil {
		v.add(at+".format", "one of "+strings.Join(source.Formats(), ", ")+"; debezium:github is github wrapped by Debezium", "%v", err)
	}
}

func (v *violations) clickHouse(c ClickHouse) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		v.add("clickhouse.url", "the HTTP interface, port 8123 by default", "want http://host:port or https://host:port, have %q", c.URL)
	case u.User != nil:
		v.add("clickhouse.url", "clickhouse.user and clickhouse.password_file", "no credentials in the URL: logs would show them")
	}
}

// An insert that outlives the session of its worker races the partition's next
// owner, who rebuilds the same batch (see DESIGN.md, "Exactly once").
func (v *violations) timeouts(c *Config) {
	v.atLeast("clickhouse.insert_timeout", c.ClickHouse.InsertTimeout, Duration(time.Second))
	const hint = "an insert must end before another worker may take over its partition"
	if c.ClickHouse.InsertTimeout >= c.Kafka.SessionTimeout {
		v.add("clickhouse.insert_timeout", hint, "want less than kafka.session_timeout (%s), have %s", c.Kafka.SessionTimeout, c.ClickHouse.InsertTimeout)
	}
	if 2*c.ClickHouse.InsertTimeout >= c.Kafka.RebalanceTimeout {
		v.add("kafka.rebalance_timeout", hint, "want more than twice clickhouse.insert_timeout (%s), have %s", c.ClickHouse.InsertTimeout, c.Kafka.RebalanceTimeout)
	}
}

func (v *violations) limits(c *Config) {
	// A fact goes to the context log as msgpack, which may be 2.25 times its
	// JSON (0.5 takes nine bytes) and must fit a record there.
	if c.Limits.MaxEventBytes < 1<<10 || c.Limits.MaxEventBytes > 4<<20 {
		v.add("limits.max_event_bytes", "", "want 1KiB to 4MiB, have %s", c.Limits.MaxEventBytes)
	}
	if c.Limits.MaxDepth < 4 || c.Limits.MaxDepth > 1000 {
		v.add("limits.max_depth", "", "want 4 to 1000, have %d", c.Limits.MaxDepth)
	}
}

func (v *violations) observe(o Observe) {
	if o.Listen != "" {
		v.address("observe.listen", o.Listen)
	}
	v.oneOf("observe.log.level", o.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("observe.log.format", o.Log.Format, "console", "json")
}

// Stages hand batches to each other in memory, so this release runs them all
// in one worker: a list that leaves one out has no topic to hand over by.
func (v *violations) stages(stages []string) {
	for i, s := range stages {
		at := fmt.Sprintf("stages[%d]", i)
		v.oneOf(at, s, AllStages()...)
		if slices.Index(stages, s) < i {
			v.add(at, "", "%q is given twice", s)
		}
	}
	for _, s := range AllStages() {
		if !slices.Contains(stages, s) {
			v.add("stages", "leave the key out to run all stages", "%q is missing: stages can't be split over workers yet", s)
		}
	}
}
