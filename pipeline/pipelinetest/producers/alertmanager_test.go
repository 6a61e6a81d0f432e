package producers

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// alerting is what Alertmanager is configured with; %s are the gateway and the
// file of the secret.
const alerting = `
route: {receiver: whence, group_wait: 100ms, group_interval: 1s, repeat_interval: 1h, group_by: [alertname]}
receivers:
  - name: whence
    webhook_configs:
      - url: %s/hooks/alertmanager?environment=production
        send_resolved: true
        http_config: {authorization: {credentials_file: %s}}
`

func TestAlertmanagerFiresAndResolves(t *testing.T) {
	program := debian(t, "prometheus-alertmanager", "--version", "prometheus-alertmanager")
	secret := write(t, "secret", "a-secret\n")
	s := startUp(t, "--config", write(t, "whence.yaml", "ingest: {secrets: {alertmanager: {file: "+secret+"}}}\n"))
	address := pipelinetest.FreeAddress(t)
	alertmanager := program.command("--config.file", write(t, "alertmanager.yml", fmt.Sprintf(alerting, s.url, secret)),
		"--storage.path", t.TempDir(), "--web.listen-address", address, "--cluster.listen-address", "")
	var said strings.Builder
	alertmanager.Stderr = &said
	if err := alertmanager.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = alertmanager.Process.Signal(syscall.SIGTERM)
		_ = alertmanager.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	api := "http://" + address + "/api/v2/alerts"
	tell := func(ends string) {
		t.Helper()
		alert := `[{"labels":{"alertname":"CardsAreDeclined","service":"payments","severity":"critical"},"annotations":{"summary":"Cards are declined"},"startsAt":"` +
			time.Now().Add(-time.Minute).UTC().Format(time.RFC3339) + `"` + ends + `}]`
		deadline := time.After(30 * time.Second)
		for {
			reply, err := http.Post(api, "application/json", strings.NewReader(alert))
			if err == nil {
				reply.Body.Close()
				if reply.StatusCode == http.StatusOK {
					return
				}
				err = fmt.Errorf("%s", reply.Status)
			}
			select {
			case <-deadline:
				t.Fatal(err)
			case <-time.After(100 * time.Millisecond): // it has not started yet
			}
		}
	}
	tell("")
	s.await("whence.incidents", 1)
	tell(`,"endsAt":"` + time.Now().Add(-time.Second).UTC().Format(time.RFC3339) + `"`)
	life := s.await("whence.incidents", 2)
	if b := decoded(t, life...); types(b)["alert.fired"] == 0 || types(b)["alert.resolved"] != 1 {
		t.Errorf("it became %v", types(b))
	}
	s.says("payments\tproduction\tcritical\t1\t1", "SELECT service, environment, severity, fired_at < resolved_at, count() OVER () FROM whence.alerts FINAL")
	for i, want := range []string{"firing", "resolved"} {
		r := life[i]
		if r.headers["whence-source"] != "alertmanager" || r.headers["content-type"] != "application/json" || r.headers["whence-environment"] != "production" {
			t.Errorf("headers %v", r.headers)
		}
		for name, text := range r.headers {
			if strings.Contains(text, "a-secret") {
				t.Errorf("header %s has the secret", name)
			}
		}
		message := parsed[struct {
			Status string
			Alerts []struct{ Labels map[string]string }
		}](t, r.value)
		if message.Status != want || len(message.Alerts) != 1 || message.Alerts[0].Labels["service"] != "payments" {
			t.Errorf("%+v, want %s", message, want)
		}
	}
}
