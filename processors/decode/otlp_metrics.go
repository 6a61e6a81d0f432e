package decode

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/whencehq/whence/schemas/event"
	"github.com/whencehq/whence/schemas/value"
)

func otlpMetricsReader() reader {
	return reader{source: "otlp-metrics", binary: true, rows: otlpMetricsRows(), read: func(p *payload, s *said) error {
		request := pmetricotlp.NewExportRequest()
		if err := readOTLP(p, s, request); err != nil {
			return err
		}
		m := metricsIn{payload: p, said: s}
		for _, from := range request.Metrics().ResourceMetrics().All() {
			m.resourced = resourceOf(p, from.Resource())
			m.origin = cmp.Or(m.origin, m.resourced.origin)
			for _, scope := range from.ScopeMetrics().All() {
				for _, metric := range scope.Metrics().All() {
					m.metric(metric)
				}
			}
		}
		// Whole: a measurement has neither the buckets nor the exemplars of its point.
		body, err := request.MarshalJSON()
		if err != nil {
			return err
		}
		return s.keepOTLP("io.opentelemetry.metrics", m.origin, m.when, body)
	}}
}

// metricsIn is what the metrics of a record are read with.
type metricsIn struct {
	*payload
	*said
	resourced *otlpResource
	origin    string
	when      extent
}

// requestDurations are the histograms of how long requests took, and whether they are
// the caller's view. Old and new names of the semantic conventions; of the old
// ones the unit was milliseconds.
var requestDurations = map[string]struct{ client, milliseconds bool }{
	"http.server.request.duration": {}, "http.server.duration": {milliseconds: true},
	"rpc.server.call.duration": {}, "rpc.server.duration": {milliseconds: true},
	"messaging.process.duration":   {},
	"http.client.request.duration": {client: true}, "http.client.duration": {client: true, milliseconds: true},
	"rpc.client.call.duration": {client: true}, "rpc.client.duration": {client: true, milliseconds: true},
}

// utilisations are gauges of what an instance uses of what it may use, 0 to 1.
var utilisations = map[string]func(*event.Observation) *float64{
	"process.cpu.utilization": cpuRatio, "jvm.cpu.recent_utilization": cpuRatio, "process.runtime.jvm.cpu.utilization": cpuRatio,
	"k8s.container.cpu_limit_utilization": cpuRatio, "k8s.pod.cpu_limit_utilization": cpuRatio,
	"k8s.container.memory_limit_utilization": memoryRatio, "k8s.pod.memory_limit_utilization": memoryRatio,
	"process.memory.utilization": memoryRatio,
}

func cpuRatio(o *event.Observation) *float64    { return &o.CPURatio }
func memoryRatio(o *event.Observation) *float64 { return &o.MemoryRatio }

func (m *metricsIn) metric(from pmetric.Metric) {
	name := from.Name()
	switch from.Type() {
	case pmetric.MetricTypeGauge:
		if slot := utilisations[name]; slot != nil {
			m.utilisation(name, from.Gauge().DataPoints(), slot)
		}
		m.first(from.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		m.first(from.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		for _, p := range from.Histogram().DataPoints().All() {
			m.point(from, from.Histogram().AggregationTemporality(), p, spreadOf(p))
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range from.ExponentialHistogram().DataPoints().All() {
			m.point(from, from.ExponentialHistogram().AggregationTemporality(), p, exponentialSpreadOf(p))
		}
	case pmetric.MetricTypeSummary:
		for _, p := range from.Summary().DataPoints().All() {
			m.when.item(otlpMillis(p.Timestamp()), false)
		}
	}
}

func (m *metricsIn) first(points pmetric.NumberDataPointSlice) {
	for _, p := range points.All() {
		m.when.item(otlpMillis(p.Timestamp()), false)
	}
}

// histogramPoint is what points of both kinds of histograms have.
type histogramPoint interface {
	Attributes() pcommon.Map
	StartTimestamp() pcommon.Timestamp
	Timestamp() pcommon.Timestamp
	Count() uint64
	HasSum() bool
	Sum() float64
}

// point says the point of a histogram of requestDurations. One of cumulative temporality
// counts since its process started: what is of its interval is the difference to
// the point before, which is in another record, and so it is only kept.
func (m *metricsIn) point(metric pmetric.Metric, over pmetric.AggregationTemporality, p histogramPoint, s spread) {
	m.when.item(otlpMillis(p.Timestamp()), false)
	kind, known := requestDurations[metric.Name()]
	peer := statedIn(p.Attributes(), "service.peer.name", "peer.service")
	if !known || kind.client && peer == "" || m.full() {
		return
	}
	if over != pmetric.AggregationTemporalityDelta {
		m.refuse("service.measured", fmt.Errorf("%s: %s temporality: let the exporter, or the Collector's cumulativetodelta, make deltas of it",
			metric.Name(), strings.ToLower(over.String())))
		return
	}
	o := m.measured(metric.Name(), p.Attributes(), p.StartTimestamp(), p.Timestamp())
	if kind.client {
		o.Caller, o.Callee = m.resourced.service, peer
	}
	o.Requests, o.Errors = float64(p.Count()), 0
	if failedPoint(p.Attributes(), kind.client) {
		o.Errors = o.Requests
	}
	if toMS := millisecondsIn(metric.Unit(), kind.milliseconds); p.Count() > 0 {
		if p.HasSum() {
			o.LatencyMS = unlessInfinite(p.Sum() / float64(p.Count()) * toMS)
		}
		o.LatencyP99MS = unlessInfinite(s.quantile(0.99) * toMS)
	}
	m.observe(&o)
}

// measured is a measurement of one interval of the instance. Its id says which
// point of the metric it is; its time is the interval's end.
func (m *metricsIn) measured(name string, attributes pcommon.Map, start, end pcommon.Timestamp) event.Observation {
	o := m.resourced.blank("service.measured")
	o.Version, o.Instance, o.Time = m.resourced.version, m.resourced.instance, otlpMillis(end)
	o.IntervalMS = 0
	if 0 < start && start < end {
		o.IntervalMS = float64(end-start) / 1e6
	}
	o.Attributes = attributesOf(attributes)
	var which value.ObjectHash
	for _, a := range o.Attributes {
		which.Add(value.HashText(a.Key), value.HashString(a.Value))
	}
	o.ID = fmt.Sprintf("%s/%s/%016x", validText(name), o.Instance, which.Hash())
	o.Attributes = append(o.Attributes, event.Pair{Key: "metric", Value: validText(name)})
	return o
}

func failedPoint(attributes pcommon.Map, client bool) bool {
	return statedIn(attributes, "error.type") != "" ||
		failedHTTP(statedIn(attributes, "http.response.status_code", "http.status_code"), client) ||
		failedRPC(statedIn(attributes, "rpc.response.status_code", "rpc.grpc.status_code"), client)
}

// millisecondsIn is how many are in a unit (UCUM).
func millisecondsIn(unit string, milliseconds bool) float64 {
	switch unit {
	case "s":
		return 1000
	case "ms":
		return 1
	case "us":
		return 1e-3
	case "ns":
		return 1e-6
	}
	if milliseconds {
		return 1
	}
	return 1000
}

func unlessInfinite(n float64) float64 {
	if !finite(n) {
		return event.Unknown
	}
	return n
}

// utilisation says a gauge. Points that differ in the mode of the processor add
// up, those of its idle times left out; points of single processors say nothing
// of the whole.
func (m *metricsIn) utilisation(name string, points pmetric.NumberDataPointSlice, slot func(*event.Observation) *float64) {
	type when struct{ start, end pcommon.Timestamp }
	var ordered []when
	sums := map[when]float64{}
	for _, p := range points.All() {
		mode := statedIn(p.Attributes(), "cpu.mode", "state")
		if mode == "idle" || mode == "iowait" || statedIn(p.Attributes(), "cpu.logical_number", "cpu") != "" {
			continue
		}
		at := when{p.StartTimestamp(), p.Timestamp()}
		if _, seen := sums[at]; !seen {
			ordered = append(ordered, at)
		}
		sums[at] += numberOf(p)
	}
	for _, at := range ordered {
		if !finite(sums[at]) {
			continue
		}
		o := m.measured(name, pcommon.NewMap(), at.start, at.end)
		*slot(&o) = sums[at]
		m.observe(&o)
	}
}

func numberOf(p pmetric.NumberDataPoint) float64 {
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(p.IntValue())
	}
	return p.DoubleValue()
}

// spread is a histogram: how many values lie in (low, high] each, in order.
type spread []bucket

type bucket struct{ low, high, count float64 }

func spreadOf(p pmetric.HistogramDataPoint) spread {
	counts, bounds := p.BucketCounts(), p.ExplicitBounds()
	var s spread
	for i, count := range counts.All() {
		b := bucket{low: 0, high: math.Inf(1), count: float64(count)}
		if i > 0 && i <= bounds.Len() {
			b.low = bounds.At(i - 1)
		}
		if i < bounds.Len() {
			b.high = bounds.At(i)
		}
		if math.IsInf(b.high, 1) {
			b.high = b.low // as Prometheus has it: nothing is known beyond
			if p.HasMax() && p.Max() > b.low {
				b.high = p.Max()
			}
		}
		s = append(s, b)
	}
	return s
}

// exponentialSpreadOf has the bounds that the data model gives a scale: bucket i
// is (base^i, base^(i+1)], base = 2^(2^-scale).
func exponentialSpreadOf(p pmetric.ExponentialHistogramDataPoint) spread {
	s := spread{{count: float64(p.ZeroCount()) + below(p.Negative())}}
	step := math.Exp2(-float64(p.Scale()))
	for i, count := range p.Positive().BucketCounts().All() {
		index := float64(p.Positive().Offset()) + float64(i)
		s = append(s, bucket{low: math.Exp2(index * step), high: math.Exp2((index + 1) * step), count: float64(count)})
	}
	return s
}

func below(negative pmetric.ExponentialHistogramDataPointBuckets) (count float64) {
	for _, n := range negative.BucketCounts().All() {
		count += float64(n)
	}
	return count
}

// quantile is the value at q, linear within its bucket; unknown where there is
// none.
func (s spread) quantile(q float64) float64 {
	total := 0.0
	for _, b := range s {
		total += b.count
	}
	if total == 0 {
		return event.Unknown
	}
	rank := q * total
	for _, b := range s {
		if b.count > 0 && rank <= b.count {
			return b.low + (b.high-b.low)*rank/b.count
		}
		rank -= b.count
	}
	return s[len(s)-1].high // by rounding
}

func otlpMetricsRows() []row {
	id, end := "metric, instance and a digest of the attributes", "the point's: the interval's end"
	interval := rowField{"interval_ms", "from the point's start to its time"}
	return []row{
		{
			from: "Histogram, ExponentialHistogram", when: "of delta temporality: " + namesOf(false), to: "service.measured", id: id, time: end,
			fields: []rowField{interval, {"requests", "count"}, {"errors", "count, where `error.type` or the status code says so"}, {"latency_ms", "sum / count"}, {"latency_p99_ms", "linear within its bucket"}},
		},
		{
			from: "Histogram, ExponentialHistogram", when: "of delta temporality and with `service.peer.name` or `peer.service`: " + namesOf(true), to: "service.measured", id: id, time: end,
			fields: []rowField{interval, {"caller", "the service"}, {"callee", "the peer"}, {"requests", "as above"}, {"errors", "as above, 4xx too"}, {"latency_ms", "as above"}, {"latency_p99_ms", "as above"}},
		},
		{
			from: "Gauge", when: strings.Join(slices.Sorted(maps.Keys(utilisations)), ", "), to: "service.measured", id: id, time: end,
			fields: []rowField{interval, {"cpu_ratio", "the value; modes of the processor but idle times added up"}, {"memory_ratio", "the value"}},
		},
	}
}

func namesOf(client bool) string {
	var names []string
	for name, kind := range requestDurations {
		if kind.client == client {
			names = append(names, "`"+name+"`")
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
