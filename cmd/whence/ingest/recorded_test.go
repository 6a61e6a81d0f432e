package ingest

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// Everything that tools were recorded to send is taken, and nothing of it is
// changed on its way.
func TestRecordedPayloadsAreTakenAsTheyAre(t *testing.T) {
	w := gatewayWith(t, func(o *Options) { o.Config.Secrets, o.Config.InsecureHooks = nil, true })
	for folder, path := range map[string]string{"github": "/hooks/github", "cdevents": "/v1/events", "ocsf": "/findings/ocsf"} {
		err := filepath.WalkDir(filepath.Join(pipelinetest.Shared(t), folder), func(file string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(file) != ".json" {
				return err
			}
			body, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			kind, _, _ := strings.Cut(entry.Name(), ".")
			before := len(w.broker.messages())
			answer := w.post(path, body, "Content-Type", "application/json", "X-GitHub-Event", kind)
			sent := w.broker.messages()[before:]
			if answer.Code != http.StatusOK || len(sent) == 0 || len(sent) == 1 && !bytes.Equal(sent[0].Value, body) {
				t.Errorf("%s/%s: %d, %d records: %s", folder, entry.Name(), answer.Code, len(sent), answer.Body)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
