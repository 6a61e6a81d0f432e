package producers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// A scan finds things, the code is mended, and the next scan doesn't: then they
// are remediated, and what is still there is not.
func TestWhatBanditFindsIsOpenUntilItFindsItNoMore(t *testing.T) {
	programs := python(t)
	code, err := os.ReadFile(filepath.Join("testdata", "scanned", "payments.py"))
	if err != nil {
		t.Fatal(err)
	}
	s := startUp(t)
	folder := t.TempDir()
	scanned := func(code string) int {
		if err := os.WriteFile(filepath.Join(folder, "payments.py"), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		report := filepath.Join(t.TempDir(), "bandit.sarif")
		scan := exec.CommandContext(t.Context(), filepath.Join(programs, "bandit"), "-q", "-f", "sarif", "-o", report, "-r", ".")
		scan.Dir = folder
		if out, err := scan.CombinedOutput(); err == nil || scan.ProcessState.ExitCode() != 1 { // it has found something
			t.Fatalf("%v\n%s", err, out)
		}
		sent, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.Post(s.url+"/findings/sarif?repository=acme/payments&service=payments", "application/sarif+json", strings.NewReader(string(sent)))
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			t.Fatal(reply.Status)
		}
		found := parsed[struct {
			Runs []struct{ Results []struct{ RuleID string } }
		}](t, sent)
		if len(found.Runs) != 1 {
			t.Fatalf("%+v", found)
		}
		// As it came, with the hints beside it.
		records := s.await("whence.audit", 1)
		if r := records[0]; len(records) == 1 && (string(r.value) != string(sent) || r.headers["whence-source"] != "sarif" ||
			r.headers["whence-repository"] != "acme/payments" || r.headers["whence-service"] != "payments") {
			t.Errorf("%v", r.headers)
		}
		return len(found.Runs[0].Results)
	}
	first := scanned(string(code))
	if first < 3 {
		t.Fatalf("%d results", first)
	}
	const states = "SELECT countIf(state = 'open'), countIf(state = 'remediated'), groupUniqArray(toString(service)), groupUniqArray(toString(repository)) FROM whence.findings FINAL"
	s.says(fmt.Sprintf("%d\t0\t['payments']\t['acme/payments']", first), states)
	// A report has the second it was made in, and of two in one second none is the later.
	made := time.Now().Unix()
	pipelinetest.Eventually(t, 10*time.Second, "the next second", func() error {
		if time.Now().Unix() == made {
			return fmt.Errorf("it is %d still", made)
		}
		return nil
	})
	second := scanned(strings.Replace(string(code), "md5", "sha256", 1))
	if second >= first {
		t.Fatalf("%d results, and %d after the code was mended", first, second)
	}
	s.says(fmt.Sprintf("%d\t%d\t['payments']\t['acme/payments']", second, first-second), states)
	s.says("B324\tremediated", "SELECT rule, state FROM whence.findings FINAL WHERE closed_at IS NOT NULL")
}
