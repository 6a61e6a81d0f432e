package producers

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// schemathesis sends what the OpenAPI document allows and what it forbids to
// every endpoint, and holds the answers against it.
func TestTheGatewayIsWhatItsOpenAPIDocumentSays(t *testing.T) {
	programs := python(t)
	s := startSite(t, "--insecure-hooks")
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "schemathesis"), "run", s.url+"/openapi.json",
		"--checks", "all",
		// Whether a body of the right form says something is more than the
		// document can say; whether a secret is wanted is configured.
		"--exclude-checks", "positive_data_acceptance,ignored_auth",
		"--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--workers", "1",
		"--suppress-health-check", "all", "--request-timeout", "20", "--no-color")
	cmd.Dir = t.TempDir() // it writes there
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
