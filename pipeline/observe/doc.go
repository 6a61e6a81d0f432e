// Package observe is how a running worker is watched: its log, its metrics and
// its health.
//
//	log, _ := observe.NewLogger(os.Stderr, "info", "json")
//	metrics := observe.NewMetrics()
//	health := observe.NewHealth()
//	srv, err := observe.Serve("127.0.0.1:9464", metrics, health, observe.WithPprof(false))
//
// Callers count through the methods of [Metrics] and never see Prometheus, so
// the names below are written in one place and nobody has to know a label.
package observe
