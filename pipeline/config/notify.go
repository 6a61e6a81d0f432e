package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Notify says who is told what effects are blamed on.
type Notify struct {
	// Settle is how long after its detection an effect is first told, unless a
	// cause is nearly sure before.
	Settle Duration `yaml:"settle"`
	// Fresh is how long after its detection an effect may still be told first.
	Fresh Duration `yaml:"fresh"`
	// Targets are told; none: nobody is.
	Targets []NotifyTarget `yaml:"targets"`
}

// The kinds of targets.
const (
	Webhook = "webhook" // a document as JSON, signed
	Slack   = "slack"   // an incoming webhook (url_*), or a channel with threads (token_* and channel)
)

// NotifyTarget is who is told. Addresses and tokens are secrets, so they are in
// files or in the environment.
type NotifyTarget struct {
	Name       string `yaml:"name"`       // in logs and in whence notify
	Kind       string `yaml:"kind"`       // webhook or slack
	URLFile    string `yaml:"url_file"`   // where its address is
	URLEnv     string `yaml:"url_env"`    // or the environment variable that has it
	TokenFile  string `yaml:"token_file"` // of slack, with Channel: threads instead of lines
	TokenEnv   string `yaml:"token_env"`
	Channel    string `yaml:"channel"`     // of slack, with a token
	API        string `yaml:"api"`         // of Slack, where it is another; empty: https://slack.com/api
	SecretFile string `yaml:"secret_file"` // signs what a webhook is sent
	SecretEnv  string `yaml:"secret_env"`  // or so
	// Effects are incident, alert, finding, breach; empty, as the next two: all.
	Effects      []string `yaml:"effects"`
	Services     []string `yaml:"services"`     // of whose effects it is told
	Environments []string `yaml:"environments"` // likewise
	// MinimumProbability of the first hypothesis, 0 to 1.
	MinimumProbability float64 `yaml:"minimum_probability"`
	// PerMinute bounds its messages, 0: 20. Storm bounds the effects that begin
	// a thread in a minute, 0: 5; the rest is summed up in one message.
	PerMinute int      `yaml:"per_minute"`
	Storm     int      `yaml:"storm"`
	Timeout   Duration `yaml:"timeout"` // of one message, 0: 10s
}

// defaultNotify tells nobody.
func defaultNotify() Notify {
	return Notify{Settle: Duration(10 * time.Second), Fresh: Duration(time.Hour), Targets: []NotifyTarget{}}
}

// URL reads the address; empty: the target has a token instead.
func (t NotifyTarget) URL() (string, error) { return t.secret("url", t.URLFile, t.URLEnv) }

// Token reads the token; empty: there is none.
func (t NotifyTarget) Token() (string, error) { return t.secret("token", t.TokenFile, t.TokenEnv) }

// Secret reads what messages are signed with; empty: they are not.
func (t NotifyTarget) Secret() (string, error) { return t.secret("secret", t.SecretFile, t.SecretEnv) }

func (t NotifyTarget) secret(key, file, env string) (string, error) {
	at := "notify.targets " + t.Name + ": " + key
	switch {
	case file != "":
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", at, err)
		}
		return strings.TrimSpace(string(text)), nil
	case env != "":
		text, there := os.LookupEnv(env)
		if !there {
			return "", fmt.Errorf("%s_env: the environment has no %q", at, env)
		}
		return strings.TrimSpace(text), nil
	}
	return "", nil
}

func (v *violations) notify(n Notify) {
	v.atLeast("notify.settle", n.Settle, 0)
	v.atLeast("notify.fresh", n.Fresh, Duration(time.Minute))
	names := map[string]bool{}
	for i, t := range n.Targets {
		at := fmt.Sprintf("notify.targets[%d]", i)
		switch {
		case t.Name == "":
			v.add(at+".name", "whence notify test NAME sends it a message", "is empty")
		case names[t.Name]:
			v.add(at+".name", "", "%q is given twice", t.Name)
		}
		names[t.Name] = true
		v.notifyTarget(at, t)
	}
}

func (v *violations) notifyTarget(at string, t NotifyTarget) {
	v.oneOf(at+".kind", t.Kind, Webhook, Slack)
	url, token, secret := given(t.URLFile, t.URLEnv), given(t.TokenFile, t.TokenEnv), given(t.SecretFile, t.SecretEnv)
	switch {
	case t.Kind == Webhook && (url != 1 || token != 0):
		v.add(at, "", "a webhook wants one of url_file and url_env")
	case t.Kind == Slack && url+token != 1:
		v.add(at, "a token can put messages into threads", "slack wants one of url_file, url_env, token_file and token_env")
	case t.Kind == Slack && token == 1 && t.Channel == "":
		v.add(at+".channel", "the channel's id, as C0123456789", "is empty, and there is a token")
	case secret > 1:
		v.add(at, "", "want one of secret_file and secret_env")
	case t.Kind == Slack && secret > 0:
		v.add(at, "", "only what a webhook is sent can be signed")
	}
	for i, kind := range t.Effects {
		v.oneOf(fmt.Sprintf("%s.effects[%d]", at, i), kind, "incident", "alert", "finding", "breach")
		if slices.Index(t.Effects, kind) < i {
			v.add(fmt.Sprintf("%s.effects[%d]", at, i), "", "%q is given twice", kind)
		}
	}
	if !(t.MinimumProbability >= 0 && t.MinimumProbability <= 1) {
		v.add(at+".minimum_probability", "", "want 0 to 1, have %v", t.MinimumProbability)
	}
	if t.PerMinute < 0 || t.PerMinute > 1000 {
		v.add(at+".per_minute", "", "want 1 to 1000, have %d", t.PerMinute)
	}
	if t.Storm < 0 || t.Storm > 1000 {
		v.add(at+".storm", "", "want 1 to 1000, have %d", t.Storm)
	}
	if t.Timeout != 0 {
		v.atLeast(at+".timeout", t.Timeout, Duration(100*time.Millisecond))
	}
}

func given(texts ...string) int {
	n := 0
	for _, t := range texts {
		if t != "" {
			n++
		}
	}
	return n
}
