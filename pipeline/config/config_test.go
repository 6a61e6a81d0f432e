package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/whencehq/whence/schemas/source"
)

func TestAnEmptyFileIsTheDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "kafka:\n", "---\n"} {
		c, err := Parse("c.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(Default(), c); diff != "" {
			t.Errorf("%q differs from the default:\n%s", text, diff)
		}
	}
}

func TestTheDefaultIsValidAndSurvivesAFile(t *testing.T) {
	out, err := yaml.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("c.yaml", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Error(diff)
	}
}

func TestAFileChangesWhatItSaysAndNothingElse(t *testing.T) {
	c, err := Parse("c.yaml", []byte(`
kafka:
  seeds: [a:9092, b:9092]
  topics:
    prefix: test.
    inputs:
      - {name: all, partitions: 12}
      - {topic: otlp_spans, format: otlp-traces}
      - {topic: shop.outbox, partitions: 2, format: "debezium:github"}
  fetch: {max_wait: 2s, max_bytes: 128MiB}
clickhouse: {url: "https://ch:8443", insert_timeout: 10s}
decode: {defaults: {environment: live}}
horizon: 24h
history: {keep: 0s}
seal: {after: 5m}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Kafka.Seeds = []string{"a:9092", "b:9092"}
	want.Kafka.Topics.Prefix = "test."
	want.Kafka.Topics.Inputs = []Topic{{Name: "all", Partitions: 12}, {Topic: "otlp_spans", Format: "otlp-traces"}, {Topic: "shop.outbox", Partitions: 2, Format: "debezium:github"}}
	want.Kafka.Fetch.MaxWait = Duration(2 * time.Second)
	want.Kafka.Fetch.MaxBytes = 128 << 20
	want.ClickHouse.URL = "https://ch:8443"
	want.ClickHouse.InsertTimeout = Duration(10 * time.Second)
	want.Decode.Defaults.Environment = "live"
	want.Horizon = Duration(24 * time.Hour)
	want.History.Keep = 0
	want.Seal.After = Duration(5 * time.Minute)
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if got := c.Kafka.Topics.InputNames(); !cmp.Equal(got, []string{"test.all", "otlp_spans", "shop.outbox"}) {
		t.Errorf("input names %v", got)
	}
	if got := c.Kafka.Topics.Formats(); !cmp.Equal(got, map[string]string{"otlp_spans": "otlp-traces", "shop.outbox": "debezium:github"}) {
		t.Errorf("formats %v", got)
	}
}

// Each case is a file, and all that is said about it.
func TestErrorsSayWhereAndWhat(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"a misspelt key": {"kafka:\n  seed: [a:1]\n",
			"c.yaml:2:3: kafka.seed: unknown key\nhint: did you mean seeds?"},
		"a key that means nothing": {"colour: red\n",
			"c.yaml:1:1: colour: unknown key\nhint: known here: kafka, clickhouse, limits, decode, observe, offsets, stages, horizon, history, seal, correlate, notify, rules, ingest"},
		"a password in the file": {"clickhouse:\n  password: hunter2\n",
			"c.yaml:2:3: clickhouse.password: unknown key\nhint: secrets are never in the configuration: password_file"},
		"a broker's password in the file": {"kafka: {sasl: {password: hunter2}}\n",
			"c.yaml:1:16: kafka.sasl.password: unknown key\nhint: secrets are never in the configuration: password_file or password_env"},
		"a key given twice": {"horizon: 24h\nhorizon: 48h\n",
			"c.yaml:2:1: horizon: given twice"},
		"a history kept for less than an hour": {"history:\n  keep: 1m\n",
			"c.yaml:2:9: history.keep: want at least 1h0m0s, have 1m0s\nhint: 0 is for ever"},
		"minutes that are sealed at once": {"seal:\n  after: 0s\n",
			"c.yaml:2:10: seal.after: want at least 1s, have 0s"},
		"a duration without a unit": {"kafka:\n  session_timeout: 45\n",
			`c.yaml:2:20: kafka.session_timeout: want a duration with its unit, like 45s or 840h, have "45"`},
		"a size that is none": {"limits: {max_event_bytes: many}\n",
			`c.yaml:1:27: limits.max_event_bytes: want a size in bytes, like 1048576 or 1MiB, have "many"`},
		"a number that is none": {"limits:\n  max_depth: deep\n",
			`c.yaml:2:14: limits.max_depth: want a whole number, have "deep"`},
		"a list that is none": {"kafka:\n  seeds: a:9092\n",
			"c.yaml:2:10: kafka.seeds: want a list, have a single value\nhint: write it as [a, b] or one `- ` line each"},
		"a value that is a mapping": {"horizon: {hours: 3}\n",
			"c.yaml:1:10: horizon: want one value, have a mapping"},
		"a mapping that is none": {"offsets: fail\n",
			"c.yaml:1:10: offsets: want a mapping with keys on_lost, have a single value"},
		"an unknown choice": {"offsets:\n  on_lost: guess\n",
			`c.yaml:2:12: offsets.on_lost: want one of fail, ledger, earliest, have "guess"`},
		"two problems, in the file's order": {"horizon: 1m\nclickhouse:\n  url: ch:8123\n",
			"c.yaml:1:10: horizon: want at least 1h0m0s, have 1m0s\nhint: 0 is for ever\n" +
				"c.yaml:3:8: clickhouse.url: want http://host:port or https://host:port, have \"ch:8123\"\nhint: the HTTP interface, port 8123 by default"},
		"an insert that outlives its session": {"kafka:\n  session_timeout: 6s\nclickhouse:\n  insert_timeout: 10s\n",
			"c.yaml:4:19: clickhouse.insert_timeout: want less than kafka.session_timeout (6s), have 10s\n" +
				"hint: an insert must end before another worker may take over its partition"},
		"a default at odds with what the file says": {"kafka:\n  session_timeout: 6s\n",
			"c.yaml: clickhouse.insert_timeout: want less than kafka.session_timeout (6s), have 30s\n" +
				"hint: an insert must end before another worker may take over its partition"},
		"two topics of one name": {"kafka:\n  topics:\n    inputs: [{name: a, partitions: 1}, {name: a, partitions: 1}]\n",
			`c.yaml:3:47: kafka.topics.inputs[1].name: "whence.a" is kafka.topics.inputs[0].name already`},
		"a topic that is whence's and another's": {"kafka:\n  topics:\n    inputs: [{name: a, topic: a, partitions: 1}]\n",
			"c.yaml:3:14: kafka.topics.inputs[0]: want one of name and topic\nhint: name is for a topic of whence's own, which gets the prefix; topic is for another's, in full"},
		"a format that does not exist": {"kafka:\n  topics:\n    inputs: [{topic: otlp_spans, format: otlp}]\n",
			`c.yaml:3:42: kafka.topics.inputs[0].format: "otlp" is no format` + "\nhint: one of " + strings.Join(source.Formats(), ", ") + "; debezium:github is github wrapped by Debezium"},
		"another's topic under the name of one of whence's own": {"kafka:\n  topics:\n    inputs: [{topic: whence.context}]\n",
			`c.yaml:3:22: kafka.topics.inputs[0].topic: "whence.context" is kafka.topics.context already`},
		"an environment that is none": {"decode: {defaults: {environment: \"\"}}\n",
			"c.yaml:1:34: decode.defaults.environment: is empty: what is of no environment is of no use\nhint: leave the key out for production"},
		"a topic without partitions": {"kafka:\n  topics:\n    inputs: [{name: a}]\n",
			"c.yaml:3:14: kafka.topics.inputs[0].partitions: want at least 1, have 0"},
		"a stage left out": {"stages: [decode, validate, timeline, enrich]\n",
			"c.yaml:1:9: stages: \"store\" is missing: stages can't be split over workers yet\nhint: leave the key out to run all stages"},
		"credentials in the URL": {"clickhouse: {url: 'http://u:p@h:8123'}\n",
			"c.yaml:1:19: clickhouse.url: no credentials in the URL: logs would show them\nhint: clickhouse.user and clickhouse.password_file"},
		"no YAML": {"kafka:\n  seeds: [a\n",
			"c.yaml:1:1: did not find expected ',' or ']'\nhint: indent with spaces; quote a value that holds `: ` or starts with a sign"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(tc.file))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			if !IsProblem(err) {
				t.Errorf("%T is no problem of the file", err)
			}
		})
	}
}

func TestSecretsComeFromFilesAndTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WHENCE_TEST_PASSWORD", "from the environment")
	for want, c := range map[string]SASL{
		"from a file":          {PasswordFile: file},
		"from the environment": {PasswordEnv: "WHENCE_TEST_PASSWORD"},
	} {
		if got, err := c.Password(); err != nil || got != want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	_, err := SASL{PasswordEnv: "WHENCE_TEST_NOT_SET"}.Password()
	if err == nil || err.Error() != `kafka.sasl.password_env: the environment has no "WHENCE_TEST_NOT_SET"` {
		t.Errorf("an unset variable: %v", err)
	}
}

func TestTLSIsOffUntilSomethingTurnsItOn(t *testing.T) {
	if c, err := (TLS{}).Config(); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	if c, err := (TLS{Enabled: true}).Config(); c == nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (TLS{CAFile: empty}).Config(); err == nil || !strings.Contains(err.Error(), "no certificate in") {
		t.Errorf("an empty file of certificates: %v", err)
	}
}

func TestAMissingFileIsNotAProblemOfItsContent(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "absent.yaml"))
	if !errors.Is(err, os.ErrNotExist) || IsProblem(err) {
		t.Error(err)
	}
}

func TestSizesAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Bytes(rapid.Int64Range(0, 1<<50).Draw(t, "bytes"))
		var got Bytes
		if err := got.UnmarshalYAML(&yaml.Node{Value: want.String()}); err != nil || got != want {
			t.Fatalf("%s reads as %d, %v", want, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("kafka: {seeds: [a:1], topics: {inputs: [{name: x, partitions: 1}]}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("kafka: &k\n  tls: *k\n"))
	f.Add([]byte("stages: [[[[]]]]\nhorizon: !!binary xx\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("c.yaml", data)
		if err == nil && len(c.Validate()) > 0 {
			t.Errorf("accepted, and yet: %v", c.Validate())
		}
	})
}
