package observe

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Seconds of a request: half a millisecond to 15 s and more.
var requestBuckets = prometheus.ExponentialBuckets(.0005, 2, 16)

func (m *Metrics) registerIngest() {
	m.requests = m.counters("ingest_requests_total", "Requests that the gateway has answered, by path and status.", "endpoint", "status")
	m.requestSeconds = register(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "whence", Name: "ingest_request_seconds", Help: "One request, from its headers to its answer; Kafka's acknowledgement is in it.", Buckets: requestBuckets,
	}, []string{"endpoint"}))
	m.requestBytes = m.counters("ingest_bytes_total", "Bytes of bodies, unpacked.", "endpoint")
	m.requestRecords = m.counters("ingest_records_total", "Records that Kafka has acknowledged.", "endpoint")
	m.requestsRunning = m.gauge("ingest_requests_running", "Requests under way.")
	m.bytesInFlight = m.gauge("ingest_bytes_in_flight", "Bytes of bodies and records that the gateway holds.")
}

// Answered counts a request to the gateway.
func (m *Metrics) Answered(endpoint string, status int, took time.Duration, bytes int64, records int) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(status)).Inc()
	m.requestSeconds.WithLabelValues(endpoint).Observe(took.Seconds())
	m.requestBytes.WithLabelValues(endpoint).Add(float64(bytes))
	m.requestRecords.WithLabelValues(endpoint).Add(float64(records))
}

// Taking is how many requests are under way, and the bytes they hold.
func (m *Metrics) Taking(requests int, bytes int64) {
	m.requestsRunning.Set(float64(requests))
	m.bytesInFlight.Set(float64(bytes))
}
