// Package config is the configuration of a worker: one YAML file, its
// defaults, and errors that say where.
//
//	cfg, err := config.Load("worker.yaml")
//
// Every key has a default but clickhouse.url and kafka.seeds, which Default
// points at the addresses of the embedded pair. A key that is unknown, given
// twice or of the wrong kind is an error; all errors of a file come at once,
// each with file:line:column, the key's path and where it helps a hint.
// Secrets are never in the file: it names a file or an environment variable.
package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"
)

// Config is the whole configuration.
type Config struct {
	Kafka      Kafka      `yaml:"kafka"`
	ClickHouse ClickHouse `yaml:"clickhouse"`
	Limits     Limits     `yaml:"limits"`
	Decode     Decode     `yaml:"decode"`
	Observe    Observe    `yaml:"observe"`
	Offsets    Offsets    `yaml:"offsets"`
	// Stages of this worker, in the order of the chain.
	Stages []string `yaml:"stages"`
	// Horizon is how far back, from the latest fact on, facts stay in memory even
	// where nothing needs them any more; 0 and less: for ever. It changes no answer.
	// A month is 720h, and 0 the default.
	Horizon   Duration  `yaml:"horizon"`
	History   History   `yaml:"history"`
	Seal      Seal      `yaml:"seal"`
	Correlate Correlate `yaml:"correlate"`
	Notify    Notify    `yaml:"notify"`
	Rules     Rules     `yaml:"rules"`
	Ingest    Ingest    `yaml:"ingest"`
}

// Kafka says where events come from and how.
type Kafka struct {
	Seeds []string `yaml:"seeds"` // host:port each
	// Group of consumers that the workers of an installation are; those who store
	// the context log are another one, with -context behind its name.
	Group  string `yaml:"group"`
	Topics Topics `yaml:"topics"`
	TLS    TLS    `yaml:"tls"`
	SASL   SASL   `yaml:"sasl"`
	// SessionTimeout is how long a worker may be silent before others take over.
	SessionTimeout Duration `yaml:"session_timeout"`
	// RebalanceTimeout is how long a worker may hold up a change of owners. Work on
	// one round is given up, and begun again, after half of it.
	RebalanceTimeout Duration `yaml:"rebalance_timeout"`
	Fetch            Fetch    `yaml:"fetch"`
}

// Topics names the topics. Every name is Prefix and what the key says, so that
// two installations share a cluster by differing in one word.
type Topics struct {
	Prefix string `yaml:"prefix"` // of all own topics
	// Inputs are the topics that events are read from.
	Inputs     []Topic `yaml:"inputs"`
	Context    string  `yaml:"context"`    // the context log: always one partition
	DeadLetter string  `yaml:"deadletter"` // records that could not be taken
	Links      string  `yaml:"links"`      // causes of effects, ranked
	// Replication of topics that are created; 0 is the broker's default.
	Replication int16 `yaml:"replication"`
	// Retention of input topics that are created; negative is forever.
	Retention Duration `yaml:"retention"`
}

// Topic is one input topic: one of the installation's own, or one that exists
// already and is someone else's.
type Topic struct {
	// Name of an own topic, without the prefix; it is created with Partitions.
	Name string `yaml:"name"`
	// Topic is another's, by its full name. It is read and never altered, and
	// created only where Partitions says with how many.
	Topic      string `yaml:"topic"`
	Partitions int32  `yaml:"partitions"` // to create it with
	// Format of its records, see package schemas/source; empty: cloudevents.
	Format string `yaml:"format"`
}

// Foreign tells whether the topic is someone else's.
func (t Topic) Foreign() bool { return t.Topic != "" }

// InputName is the full name of an input topic.
func (t Topics) InputName(in Topic) string {
	if in.Foreign() {
		return in.Topic
	}
	return t.Prefix + in.Name
}

// InputNames are the full names of the input topics.
func (t Topics) InputNames() []string {
	names := make([]string, len(t.Inputs))
	for i, in := range t.Inputs {
		names[i] = t.InputName(in)
	}
	return names
}

// Formats are the formats of the input topics that state one, by full name.
func (t Topics) Formats() map[string]string {
	formats := map[string]string{}
	for _, in := range t.Inputs {
		if in.Format != "" {
			formats[t.InputName(in)] = in.Format
		}
	}
	return formats
}

// ContextName is the full name of the context log.
func (t Topics) ContextName() string { return t.Prefix + t.Context }

// LinksName is the full name of the topic of links.
func (t Topics) LinksName() string { return t.Prefix + t.Links }

// DeadLetterName is the full name of the dead-letter topic.
func (t Topics) DeadLetterName() string { return t.Prefix + t.DeadLetter }

// Names are the full names of all of them.
func (t Topics) Names() []string {
	return append(t.InputNames(), t.ContextName(), t.DeadLetterName(), t.LinksName())
}

// TLS is on when Enabled or when a file is named.
type TLS struct {
	Enabled    bool   `yaml:"enabled"`     // with no file
	CAFile     string `yaml:"ca_file"`     // empty: the system's roots
	CertFile   string `yaml:"cert_file"`   // a client certificate, with KeyFile
	KeyFile    string `yaml:"key_file"`    // of the client certificate
	ServerName string `yaml:"server_name"` // in the server's certificate; empty: the host's
}

// Config reads the files. It is nil where TLS is off.
func (t TLS) Config() (*tls.Config, error) {
	if !t.Enabled && t.CAFile == "" && t.CertFile == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca_file: no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// The SASL mechanisms.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// SASL is off while Mechanism is empty.
type SASL struct {
	Mechanism    string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"` // where the password is, or PasswordEnv
	PasswordEnv  string `yaml:"password_env"`  // the environment variable that has it
}

// Password reads the secret. One newline at a file's end is not part of it:
// every editor adds it.
func (s SASL) Password() (string, error) {
	if s.PasswordFile != "" {
		b, err := os.ReadFile(s.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("kafka.sasl.password_file: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
	}
	v, ok := os.LookupEnv(s.PasswordEnv)
	if !ok {
		return "", fmt.Errorf("kafka.sasl.password_env: the environment has no %q", s.PasswordEnv)
	}
	return v, nil
}

// Fetch sizes what one poll brings, and with it the inserts: few big ones
// cost a fraction of many small ones.
type Fetch struct {
	MinBytes          Bytes    `yaml:"min_bytes"`           // the broker waits for so much, or for MaxWait
	MaxWait           Duration `yaml:"max_wait"`            // a part of how fresh rows are
	MaxBytes          Bytes    `yaml:"max_bytes"`           // of one answer of a broker
	MaxPartitionBytes Bytes    `yaml:"max_partition_bytes"` // of one partition in it
	// MaxRecords bounds a round, and with it the largest insert, which has to
	// be done within clickhouse.insert_timeout. An observation takes about a
	// kilobyte of memory while it is worked on.
	MaxRecords int `yaml:"max_records"`
}

// ClickHouse says where results go.
type ClickHouse struct {
	URL           string   `yaml:"url"` // http:// or https://, no credentials in it
	User          string   `yaml:"user"`
	PasswordFile  string   `yaml:"password_file"`  // where the password is; empty: none
	InsertTimeout Duration `yaml:"insert_timeout"` // of one block
}

// Limits bound what one record may be; beyond them it is a dead letter.
type Limits struct {
	MaxEventBytes Bytes `yaml:"max_event_bytes"` // of one event
	MaxDepth      int   `yaml:"max_depth"`       // nesting of data
}

// Decode is about payloads that are no CloudEvents.
type Decode struct {
	Defaults Defaults `yaml:"defaults"`
}

// Defaults are what payloads are taken to say where neither they nor their
// senders do.
type Defaults struct {
	Environment string `yaml:"environment"` // where a payload names none
	// Incidents are the labels and types that make an issue an incident.
	Incidents []string `yaml:"incidents"`
}

// Observe says how the worker can be watched.
type Observe struct {
	Listen string `yaml:"listen"` // /metrics, /livez, /readyz; empty: none
	Pprof  bool   `yaml:"pprof"`  // /debug/pprof on the same address
	Log    Log    `yaml:"log"`
}

// Log goes to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // console, json
}

// What to do when committed offsets of an input are gone (expired, deleted) or
// set back: an operator's choice, because each answer but fail can repeat or skip work.
const (
	OnLostFail     = "fail"     // stop with an error
	OnLostLedger   = "ledger"   // go on where the batches ledger in ClickHouse ends
	OnLostEarliest = "earliest" // from the log's beginning
)

// Offsets is about lost ones.
type Offsets struct {
	// OnLost is what becomes of an input, or of the context log, whose committed
	// offset is gone, expired or deleted, or was set by hand below what is
	// stored: fail (its partition stops), ledger (go on where ClickHouse says
	// that it is stored up to), earliest (from the log's beginning, or from
	// where it was set: a view of your own that counts rows counts them again).
	OnLost string `yaml:"on_lost"`
}

// History is about what rows said before they were corrected.
type History struct {
	// Keep is for how long that is known, from the correction on; 0 and less:
	// for ever.
	Keep Duration `yaml:"keep"`
}

// Seal is about the vitals of minutes.
type Seal struct {
	// After is how long nothing may have been written to a minute before its
	// vitals are computed for good: a matter of cost, no answer depends on it.
	After Duration `yaml:"after"`
}

// Correlate is about ranking the causes of effects.
type Correlate struct {
	// Enabled: the worker that stores the facts ranks causes too.
	Enabled bool `yaml:"enabled"`
	// Model is the file of the weights to rank with, as whence learn writes it;
	// empty: those that Whence comes with.
	Model string `yaml:"model"`
}

// Rules is what the operator says becomes of records and events. Every worker
// of an installation must have the same.
type Rules struct {
	// Files are patterns (rules/*.yaml), relative to where whence is started, as
	// all files that a configuration names are.
	// Files that end in _test.yaml are examples, and left out.
	Files []string `yaml:"files"`
}

// AllStages are the stages of a worker, in the order of the chain.
func AllStages() []string { return []string{"decode", "validate", "timeline", "enrich", "store"} }

// Default is the configuration of an empty file.
func Default() *Config {
	return &Config{
		Kafka: Kafka{
			Seeds: []string{"127.0.0.1:9092"},
			Group: "whence",
			Topics: Topics{
				Prefix: "whence.",
				Inputs: []Topic{
					{Name: "delivery", Partitions: 3}, {Name: "incidents", Partitions: 1}, {Name: "audit", Partitions: 1},
					{Name: "behavior", Partitions: 6}, {Name: "measurements", Partitions: 6},
				},
				Context:    "context",
				DeadLetter: "deadletter",
				Links:      "links",
				Retention:  Duration(7 * 24 * time.Hour),
			},
			SessionTimeout:   Duration(45 * time.Second),
			RebalanceTimeout: Duration(120 * time.Second),
			Fetch: Fetch{
				MinBytes: 256 << 10, MaxWait: Duration(500 * time.Millisecond),
				MaxBytes: 64 << 20, MaxPartitionBytes: 8 << 20, MaxRecords: 50_000,
			},
		},
		ClickHouse: ClickHouse{
			URL: "http://127.0.0.1:8123", User: "default",
			InsertTimeout: Duration(30 * time.Second),
		},
		Limits:    Limits{MaxEventBytes: 1 << 20, MaxDepth: 64},
		Decode:    Decode{Defaults{Environment: "production", Incidents: []string{"incident", "outage", "[System] Incident"}}},
		Observe:   Observe{Listen: "127.0.0.1:9464", Log: Log{Level: "info", Format: "console"}},
		Offsets:   Offsets{OnLost: OnLostFail},
		Stages:    AllStages(),
		History:   History{Keep: Duration(90 * 24 * time.Hour)},
		Seal:      Seal{After: Duration(time.Minute)},
		Correlate: Correlate{Enabled: true},
		Notify:    defaultNotify(),
		Rules:     Rules{Files: []string{}},
		Ingest:    defaultIngest(),
	}
}
