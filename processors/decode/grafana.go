package decode

// grafanaReader reads the webhook of Grafana's unified alerting, which is
// Alertmanager's with values, dashboards and screenshots ("Webhook JSON
// payload" in Grafana's documentation); those stay in the original. So does
// what Grafana OnCall and Grafana Incident send, which has no alerts.
func grafanaReader() reader {
	rules := alertRules("grafana")
	read := func(p *payload, s *said) error {
		return readAlerts(p, s, rules, "grafana", "com.grafana.alerting")
	}
	return reader{source: "grafana", read: read, rows: rows(rules)}
}
