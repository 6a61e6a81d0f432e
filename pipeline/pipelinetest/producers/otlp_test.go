package producers

import (
	"path/filepath"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func TestTheOpenTelemetrySDKForPythonExports(t *testing.T) {
	programs := python(t)
	config := write(t, "whence.yaml", "ingest: {tokens: {v1: {env: WHENCE_TEST_TOKEN}}}\n")
	t.Setenv("WHENCE_TEST_TOKEN", "a-token")
	s := startUp(t, "--config", config)
	t.Logf("%s", run(t, "", filepath.Join(programs, "python"), filepath.Join("testdata", "otlp", "shop.py"), s.url, "a-token"))
	spans, points, lines := 0, 0, 0
	sent := s.await("whence.measurements", 3)
	for _, r := range sent {
		if r.headers["content-type"] != "application/x-protobuf" || r.headers["whence-received"] == "" {
			t.Errorf("headers %v", r.headers)
		}
		switch source := r.headers["whence-source"]; source {
		case "otlp-traces":
			all, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(r.value)
			if err != nil {
				t.Fatal(err)
			}
			if service, _ := all.ResourceSpans().At(0).Resource().Attributes().Get("service.name"); service.Str() != "shop" {
				t.Errorf("service %s", service.Str())
			}
			spans += all.SpanCount()
		case "otlp-metrics":
			all, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(r.value)
			if err != nil {
				t.Fatal(err)
			}
			points += all.DataPointCount()
		case "otlp-logs":
			all, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(r.value)
			if err != nil {
				t.Fatal(err)
			}
			lines += all.LogRecordCount()
		default:
			t.Errorf("source %q", source)
		}
	}
	if spans != 20 || points == 0 || lines != 1 {
		t.Errorf("%d spans, %d points, %d lines", spans, points, lines)
	}
	if b := decoded(t, sent...); len(b.Observations) < 20 || b.Observations[0].Service != "shop" || b.Observations[0].Version != "4.2.0" {
		t.Errorf("it became %v", types(b))
	}
	s.says("20\t1\t20\t20", "SELECT count(), countIf(ok = false), countIf(trace_id != ''), uniqExact(trace_id) FROM whence.observations FINAL "+
		"WHERE type = 'io.whence.behavior.recorded' AND service = 'shop' AND environment = 'production' AND version = '4.2.0' AND instance = 'shop-0'")
}
