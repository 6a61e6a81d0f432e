package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTargetsOfNotificationsAreReadWithTheirSecretsFromElsewhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("xoxb-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOOK", "https://example.com/hook")
	c, err := Parse("c.yaml", []byte(`
notify:
  settle: 5s
  targets:
    - {name: chat, kind: slack, token_file: `+file+`, channel: C1, effects: [incident, breach], minimum_probability: 0.5}
    - {name: hook, kind: webhook, url_env: HOOK, services: [payments], storm: 3}
`))
	if err != nil {
		t.Fatal(err)
	}
	chat, hook := c.Notify.Targets[0], c.Notify.Targets[1]
	if token, err := chat.Token(); token != "xoxb-1" || err != nil {
		t.Errorf("token %q, %v", token, err)
	}
	if url, err := hook.URL(); url != "https://example.com/hook" || err != nil {
		t.Errorf("url %q, %v", url, err)
	}
	if secret, err := hook.Secret(); secret != "" || err != nil {
		t.Errorf("secret %q, %v", secret, err)
	}
	if chat.MinimumProbability != 0.5 || hook.Storm != 3 || c.Notify.Settle.Std() != 5*time.Second || c.Notify.Fresh.Std() != time.Hour {
		t.Errorf("read %+v", c.Notify)
	}
}

func TestASecretThatIsNotThereIsNamedByItsKey(t *testing.T) {
	target := NotifyTarget{Name: "chat", TokenEnv: "NO_SUCH_VARIABLE", URLFile: "no/such/file"}
	if _, err := target.Token(); err == nil || err.Error() != `notify.targets chat: token_env: the environment has no "NO_SUCH_VARIABLE"` {
		t.Errorf("token: %v", err)
	}
	if _, err := target.URL(); err == nil || !strings.HasPrefix(err.Error(), "notify.targets chat: url_file: ") {
		t.Errorf("url: %v", err)
	}
}

func TestErrorsOfTargetsSayWhereAndWhat(t *testing.T) {
	for target, want := range map[string]string{
		`{kind: webhook, url_env: A}`:                                       "c.yaml:3:5: notify.targets[0].name: is empty\nhint: whence notify test NAME sends it a message",
		`{name: a, kind: mail}`:                                             `c.yaml:3:21: notify.targets[0].kind: want one of webhook, slack, have "mail"`,
		`{name: a, kind: webhook, url: "http://x"}`:                         "c.yaml:3:30: notify.targets[0].url: unknown key\nhint: secrets are never in the configuration: url_file or url_env",
		`{name: a, kind: webhook}`:                                          "c.yaml:3:5: notify.targets[0]: a webhook wants one of url_file and url_env",
		`{name: a, kind: slack, url_env: A, token_env: B, channel: C}`:      "c.yaml:3:5: notify.targets[0]: slack wants one of url_file, url_env, token_file and token_env\nhint: a token can put messages into threads",
		`{name: a, kind: slack, token_env: B}`:                              "c.yaml:3:5: notify.targets[0].channel: is empty, and there is a token\nhint: the channel's id, as C0123456789",
		`{name: a, kind: slack, url_env: A, secret_env: B}`:                 "c.yaml:3:5: notify.targets[0]: only what a webhook is sent can be signed",
		`{name: a, kind: webhook, url_env: A, effects: [outage]}`:           `c.yaml:3:52: notify.targets[0].effects[0]: want one of incident, alert, finding, breach, have "outage"`,
		`{name: a, kind: webhook, url_env: A, minimum_probability: 80}`:     "c.yaml:3:63: notify.targets[0].minimum_probability: want 0 to 1, have 80",
		`{name: a, kind: webhook, url_env: A, minimum_probability: likely}`: `c.yaml:3:63: notify.targets[0].minimum_probability: want a number, have "likely"`,
		`{name: a, kind: webhook, url_env: A, per_minute: -1}`:              "c.yaml:3:54: notify.targets[0].per_minute: want 1 to 1000, have -1",
	} {
		_, err := Parse("c.yaml", []byte("notify:\n  targets:\n  - "+target+"\n"))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n%v\nwant\n%s", target, err, want)
		}
	}
	_, err := Parse("c.yaml", []byte("notify:\n  targets:\n  - {name: a, kind: webhook, url_env: A}\n  - {name: a, kind: webhook, url_env: A}\n"))
	if err == nil || err.Error() != `c.yaml:4:12: notify.targets[1].name: "a" is given twice` {
		t.Errorf("twice: %v", err)
	}
}
