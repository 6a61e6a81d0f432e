package producers

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatBanditFindsArrivesAsItsSARIF(t *testing.T) {
	programs := python(t)
	report := filepath.Join(t.TempDir(), "bandit.sarif")
	scan := exec.CommandContext(t.Context(), filepath.Join(programs, "bandit"), "-q", "-f", "sarif", "-o", report, "-r", filepath.Join("testdata", "scanned"))
	if out, err := scan.CombinedOutput(); err == nil || scan.ProcessState.ExitCode() != 1 { // it has found something
		t.Fatalf("%v\n%s", err, out)
	}
	sent, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	s := startSite(t)
	reply, err := http.Post(s.url+"/findings/sarif?repository=acme/payments&service=payments", "application/sarif+json", strings.NewReader(string(sent)))
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		t.Fatal(reply.Status)
	}
	r := s.await("whence.audit", 1)[0]
	if string(r.value) != string(sent) || r.headers["whence-source"] != "sarif" || r.headers["whence-repository"] != "acme/payments" || r.headers["whence-service"] != "payments" {
		t.Errorf("%v", r.headers)
	}
	found := parsed[struct {
		Runs []struct{ Results []struct{ RuleID string } }
	}](t, r.value)
	if len(found.Runs) != 1 || len(found.Runs[0].Results) < 3 {
		t.Errorf("%+v", found)
	}
	if b := decoded(t, r); types(b)["finding.opened"] != len(found.Runs[0].Results) {
		t.Errorf("it became %v", types(b))
	}
}
