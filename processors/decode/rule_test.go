package decode

import (
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/source"
)

func TestADeploymentThatStatesNoVersionOrACommitHasThatOfTheHint(t *testing.T) {
	const (
		commit = "0123456789abcdef0123456789abcdef01234567"
		gitlab = `{"object_kind":"deployment","status":"success","status_changed_at":"2026-03-01 11:05:00 +0100","deployment_id":15,"environment":"production","ref":"REF","short_sha":"0123456","commit_url":"https://gitlab.com/octo/web/shop/-/commit/` + commit + `","project":{"path_with_namespace":"octo/web/shop","web_url":"https://gitlab.com/octo/web/shop"}}`
		argocd = `{"app":{"kind":"Application","metadata":{"name":"cart","namespace":"argocd","uid":"u"},"status":{"operationState":{"phase":"Running","startedAt":"2026-03-12T10:00:00Z","operation":{"sync":{"revision":"main"}}}}}}`
	)
	for name, c := range map[string]struct{ from, body, hint, want string }{
		"a commit, and a hint":   {"gitlab", strings.Replace(gitlab, "REF", "main", 1), "2.0.0", `"revisions":["` + commit + `"],"service":"shop","version":"2.0.0"`},
		"a commit, and no hint":  {"gitlab", strings.Replace(gitlab, "REF", "main", 1), "", `"version":"` + commit + `"`},
		"a version, and a hint":  {"gitlab", strings.Replace(gitlab, "REF", "v1.2.3", 1), "2.0.0", `"version":"v1.2.3"`},
		"no version, and a hint": {"argocd", argocd, "2.0.0", `"version":"2.0.0"`},
		"a change states none":   {"github", `{"ref":"refs/heads/main","repository":{"full_name":"octo/shop","name":"shop","default_branch":"main","html_url":"https://github.com/octo/shop"},"commits":[{"id":"` + commit + `","message":"m","timestamp":"2026-03-12T10:00:00Z"}]}`, "2.0.0", commit},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{"x-github-event", "push"}
			if c.hint != "" {
				headers = append(headers, source.HintPrefix+"version", c.hint)
			}
			lines := saidBy(t, c.from, []byte(c.body), headers...)
			if len(lines) == 0 || !strings.Contains(lines[0], c.want) || name == "a change states none" && strings.Contains(lines[0], c.hint) {
				t.Errorf("%s, want %s", lines, c.want)
			}
		})
	}
}
