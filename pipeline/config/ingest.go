package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/source"
)

// Ingest is the HTTP gateway.
type Ingest struct {
	Listen string    `yaml:"listen"` // host:port; empty: none
	TLS    ServerTLS `yaml:"tls"`
	// Secrets of webhooks, by the name of their source (schemas/source).
	Secrets map[string]Secret `yaml:"secrets"`
	Tokens  IngestTokens      `yaml:"tokens"`
	// InsecureHooks: hooks of sources without a secret are taken from anybody.
	InsecureHooks bool `yaml:"insecure_hooks"`
	// Insecure: /v1 and /findings need no token, whatever the address.
	Insecure bool `yaml:"insecure"`
	// MaxBody bounds a request's body, unpacked; MaxFindings one of /findings,
	// which goes through a temporary file and not through memory.
	MaxBody     Bytes `yaml:"max_body"`
	MaxFindings Bytes `yaml:"max_findings"` // see MaxBody
	// MaxInFlight bounds the bytes that Kafka has not acknowledged yet,
	// MaxRequests the requests under way: beyond, senders are told to wait.
	MaxInFlight Bytes          `yaml:"max_in_flight"`
	MaxRequests int            `yaml:"max_requests"` // see MaxInFlight
	Timeouts    IngestTimeouts `yaml:"timeouts"`
}

// ServerTLS is on when both files are named.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"` // the server's certificate
	KeyFile  string `yaml:"key_file"`  // its key
}

// IngestTokens are the bearer tokens of endpoints that nobody signs for. Where
// none is named, an endpoint is open on loopback and closed elsewhere.
type IngestTokens struct {
	V1       Secret `yaml:"v1"`       // of /v1
	Findings Secret `yaml:"findings"` // of /findings
}

// IngestTimeouts bound the parts of a request.
type IngestTimeouts struct {
	Header   Duration `yaml:"header"`   // until its headers are read
	Body     Duration `yaml:"body"`     // until its body is
	Findings Duration `yaml:"findings"` // the same of a report of /findings
	Idle     Duration `yaml:"idle"`     // a connection between two requests
	Kafka    Duration `yaml:"kafka"`    // until Kafka acknowledges
}

// Secret says where secrets are, one a line: to change one without a gap, add
// the new one as a line, switch the sender over, take the old line away.
type Secret struct {
	File string `yaml:"file"` // where it is
	Env  string `yaml:"env"`  // or the environment variable that has it
}

// Named says whether it says where.
func (s Secret) Named() bool { return s.File != "" || s.Env != "" }

// Read returns the secrets; none where the place is not named. A place without
// a secret in it is an error, so that nobody believes himself guarded.
func (s Secret) Read() ([]string, error) {
	var text string
	switch {
	case s.File != "":
		b, err := os.ReadFile(s.File)
		if err != nil {
			return nil, err
		}
		text = string(b)
	case s.Env != "":
		var there bool
		if text, there = os.LookupEnv(s.Env); !there {
			return nil, fmt.Errorf("the environment has no %q", s.Env)
		}
	default:
		return nil, nil
	}
	var secrets []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			secrets = append(secrets, line)
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("no secret in %s", s)
	}
	return secrets, nil
}

// Unreadable are the secrets that aren't where the configuration says: nothing to
// refuse it for where it is only checked or others use it, but whence ingest will.
func (in *Ingest) Unreadable() []Violation {
	places := map[string]Secret{"ingest.tokens.v1": in.Tokens.V1, "ingest.tokens.findings": in.Tokens.Findings}
	for name, s := range in.Secrets {
		places["ingest.secrets."+name] = s
	}
	var wrong []Violation
	for _, path := range slices.Sorted(maps.Keys(places)) {
		if _, err := places[path].Read(); err != nil {
			wrong = append(wrong, Violation{Path: path, Message: err.Error(), Hint: "whence ingest will not start without it"})
		}
	}
	return wrong
}

// String names the place, never what is there.
func (s Secret) String() string {
	if s.File != "" {
		return "file " + s.File
	}
	return "environment variable " + s.Env
}

func defaultIngest() Ingest {
	return Ingest{
		Listen:  "127.0.0.1:8080",
		MaxBody: 16 << 20, MaxFindings: 256 << 20, MaxInFlight: 64 << 20, MaxRequests: 1024,
		Timeouts: IngestTimeouts{
			Header: Duration(5 * time.Second), Body: Duration(30 * time.Second), Findings: Duration(10 * time.Minute),
			Idle: Duration(2 * time.Minute), Kafka: Duration(10 * time.Second),
		},
	}
}

func (v *violations) ingest(in Ingest, limits Limits) {
	if in.Listen != "" {
		v.address("ingest.listen", in.Listen)
	}
	if (in.TLS.CertFile == "") != (in.TLS.KeyFile == "") {
		v.add("ingest.tls", "", "cert_file and key_file go together")
	}
	for _, name := range slices.Sorted(maps.Keys(in.Secrets)) {
		at := "ingest.secrets." + name
		if from := source.Lookup(name); from == nil || !strings.HasPrefix(from.Path, "/hooks/") {
			v.add(at, hintFor(name, hooks()), "%q is no source of webhooks", name)
		}
		if given(in.Secrets[name].File, in.Secrets[name].Env) != 1 {
			v.add(at, "", "want one of file and env")
		}
	}
	for path, s := range map[string]Secret{"ingest.tokens.v1": in.Tokens.V1, "ingest.tokens.findings": in.Tokens.Findings} {
		if given(s.File, s.Env) > 1 {
			v.add(path, "", "want one of file and env")
		}
	}
	if in.MaxBody < limits.MaxEventBytes || in.MaxBody > 1<<30 {
		v.add("ingest.max_body", "", "want limits.max_event_bytes (%s) to 1GiB, have %s", limits.MaxEventBytes, in.MaxBody)
	}
	if in.MaxFindings < in.MaxBody {
		v.add("ingest.max_findings", "", "want at least ingest.max_body (%s), have %s", in.MaxBody, in.MaxFindings)
	}
	if in.MaxInFlight < 2*in.MaxBody {
		v.add("ingest.max_in_flight", "a request holds its body and the records made of it", "want at least twice ingest.max_body (%s), have %s", in.MaxBody, in.MaxInFlight)
	}
	if in.MaxRequests < 1 || in.MaxRequests > 100_000 {
		v.add("ingest.max_requests", "", "want 1 to 100000, have %d", in.MaxRequests)
	}
	t := in.Timeouts
	for _, timeout := range []struct {
		key  string
		have Duration
	}{{"header", t.Header}, {"body", t.Body}, {"findings", t.Findings}, {"idle", t.Idle}, {"kafka", t.Kafka}} {
		v.atLeast("ingest.timeouts."+timeout.key, timeout.have, Duration(time.Second))
	}
}

// hooks are the names of the sources that send webhooks.
func hooks() []string {
	var names []string
	for _, s := range source.All() {
		if strings.HasPrefix(s.Path, "/hooks/") {
			names = append(names, s.Name)
		}
	}
	return names
}
