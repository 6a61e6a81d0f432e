package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecretsOfWebhooksAreNamedBySource(t *testing.T) {
	c, err := Parse("c.yaml", []byte(`
ingest:
  listen: 0.0.0.0:8080
  secrets:
    github: {file: /run/secrets/github}
    argo-rollouts: {env: ROLLOUTS_SECRET}
  tokens: {v1: {env: V1_TOKENS}}
  insecure_hooks: true
  max_body: 4MiB
`))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultIngest()
	want.Listen = "0.0.0.0:8080"
	want.Secrets = map[string]Secret{"github": {File: "/run/secrets/github"}, "argo-rollouts": {Env: "ROLLOUTS_SECRET"}}
	want.Tokens.V1 = Secret{Env: "V1_TOKENS"}
	want.InsecureHooks = true
	want.MaxBody = 4 << 20
	if diff := cmp.Diff(want, c.Ingest); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAGatewayCanNotDoIsNamed(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"a tool that does not exist": {"ingest:\n  secrets: {githup: {env: A}}\n",
			"c.yaml:2:21: ingest.secrets.githup: \"githup\" is no source of webhooks\nhint: did you mean github?"},
		"a secret for what sends no webhooks": {"ingest:\n  secrets:\n    sarif: {env: A}\n",
			"c.yaml:3:12: ingest.secrets.sarif: \"sarif\" is no source of webhooks\nhint: known here: github, gitlab, bitbucket, azure-devops, jenkins, jira, argocd, argo-rollouts, " +
				"flux, kubernetes, pagerduty, opsgenie, alertmanager, grafana, sentry, launchdarkly, unleash"},
		"a secret in the file": {"ingest: {secrets: {github: hunter2}}\n",
			"c.yaml:1:28: ingest.secrets.github: want a mapping with keys file, env, have a single value"},
		"a secret in two places": {"ingest: {secrets: {github: {file: f, env: E}}}\n",
			"c.yaml:1:28: ingest.secrets.github: want one of file and env"},
		"a tool given twice": {"ingest:\n  secrets:\n    github: {env: A}\n    github: {env: B}\n",
			"c.yaml:4:5: ingest.secrets.github: given twice"},
		"half a key pair": {"ingest: {tls: {cert_file: c.pem}}\n",
			"c.yaml:1:15: ingest.tls: cert_file and key_file go together"},
		"no body at all": {"ingest: {max_body: 1KiB}\n",
			"c.yaml:1:20: ingest.max_body: want limits.max_event_bytes (1MiB) to 1GiB, have 1KiB"},
		"no time": {"ingest: {timeouts: {kafka: 1ms}}\n",
			"c.yaml:1:28: ingest.timeouts.kafka: want at least 1s, have 1ms"},
		"no address": {"ingest: {listen: here}\n",
			`c.yaml:1:18: ingest.listen: want host:port, have "here"`},
	} {
		_, err := Parse("c.yaml", []byte(tc.file))
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestEachLineOfASecretsFileIsOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte("new\n\n  old \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (Secret{File: file}).Read(); err != nil || !cmp.Equal(got, []string{"new", "old"}) {
		t.Error(got, err)
	}
	t.Setenv("WHENCE_TEST_SECRET", "one")
	if got, err := (Secret{Env: "WHENCE_TEST_SECRET"}).Read(); err != nil || !cmp.Equal(got, []string{"one"}) {
		t.Error(got, err)
	}
	t.Setenv("WHENCE_TEST_EMPTY", " \n")
	for _, s := range []Secret{{Env: "WHENCE_TEST_EMPTY"}, {Env: "WHENCE_TEST_ABSENT"}, {File: file + ".absent"}} {
		if got, err := s.Read(); err == nil {
			t.Errorf("%s gives %q", s, got)
		}
	}
}
