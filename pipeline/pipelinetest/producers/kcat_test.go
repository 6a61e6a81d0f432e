package producers

import (
	"strings"
	"testing"
)

// People who have webhooks on Kafka already publish them with the tool's own
// header: no word of Whence is in the record.
func TestKcatPublishesWebhooksAndEvents(t *testing.T) {
	kcat := debian(t, "kcat", "-V", "kcat", "librdkafka1", "libyajl2")
	s := startUp(t)
	produce := func(topic, value string, arguments ...string) {
		t.Helper()
		cmd := kcat.command(append([]string{"-P", "-b", s.kafka, "-t", topic}, arguments...)...)
		cmd.Stdin = strings.NewReader(value)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kcat: %v\n%s", err, out)
		}
	}
	const push = `{"ref":"refs/heads/main","repository":{"full_name":"acme/shop","html_url":"https://github.com/acme/shop"}}`
	const event = `{"specversion":"1.0","id":"1","source":"kcat","type":"io.whence.behavior.recorded","time":"2026-01-01T00:00:00Z","data":{"name":"n","service":"s","environment":"e"}}`
	produce("whence.delivery", push, "-H", "X-GitHub-Event=push", "-H", "content-type=application/json")
	produce("whence.behavior", event)
	hook, observation := s.await("whence.delivery", 1)[0], s.await("whence.behavior", 1)[0]
	b := decoded(t, hook, observation)
	if len(b.Dead) != 0 || len(b.Observations) != 1 || len(b.Others) != 1 || b.Others[0].Type != "com.github.push" {
		t.Errorf("dead %+v, observations %+v, others %+v", b.Dead, b.Observations, b.Others)
	}
	s.says("com.github.push\nio.whence.behavior.recorded", "SELECT type FROM whence.events ORDER BY type")
}
