package observe

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/event"
)

// Metrics are a worker's counters and gauges. Its methods may be called from
// any goroutine. It is the Observer of a kafka.Consumer.
type Metrics struct {
	registry *prometheus.Registry

	recordsConsumed *prometheus.CounterVec
	bytesConsumed   *prometheus.CounterVec
	lag             *prometheus.GaugeVec
	sessionsEnded   *prometheus.CounterVec
	stopped         *prometheus.GaugeVec
	orphaned        *prometheus.CounterVec

	eventsStored *prometheus.CounterVec
	enriched     prometheus.Counter
	deadLettered *prometheus.CounterVec
	dropped      *prometheus.CounterVec
	routed       *prometheus.CounterVec
	ruleFailures *prometheus.CounterVec
	eventsAhead  prometheus.Counter
	farAhead     *prometheus.CounterVec
	batchRecords prometheus.Histogram
	batchSeconds prometheus.Histogram
	eventDelay   prometheus.Histogram

	rowsInserted  *prometheus.CounterVec
	insertSeconds *prometheus.HistogramVec
	insertErrors  *prometheus.CounterVec
	insertsLate   *prometheus.CounterVec
	rowsMended    prometheus.Counter

	revision prometheus.Gauge
	facts    prometheus.Gauge

	factsForgotten prometheus.Counter
	factsFetched   prometheus.Counter
	fetchSeconds   prometheus.Histogram

	reconciled     prometheus.Gauge
	reconcileLag   prometheus.Gauge
	passes         prometheus.Counter
	passesFailed   prometheus.Counter
	rowsCorrected  prometheus.Counter
	passSeconds    prometheus.Histogram
	promiseSeconds prometheus.Histogram

	minutesOpen   prometheus.Gauge
	minutesSealed prometheus.Counter
	sealSeconds   prometheus.Histogram
	sealsFailed   prometheus.Counter

	rankings        *prometheus.CounterVec
	rankSeconds     prometheus.Histogram
	rankDelay       prometheus.Histogram
	rankingsFailed  prometheus.Counter
	effectsWaiting  prometheus.Gauge
	messages        *prometheus.CounterVec
	messagesFailed  *prometheus.CounterVec
	messagesDropped *prometheus.CounterVec

	requests        *prometheus.CounterVec
	requestSeconds  *prometheus.HistogramVec
	requestBytes    *prometheus.CounterVec
	requestRecords  *prometheus.CounterVec
	requestsRunning prometheus.Gauge
	bytesInFlight   prometheus.Gauge
}

// Delays of events reach from milliseconds to the weeks of a back-fill.
var delayBuckets = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86400, 7 * 86400, 35 * 86400}

// Seconds of a batch or an insert: 1 ms to 15 s and more.
var secondsBuckets = prometheus.ExponentialBuckets(.001, 2, 15)

// NewMetrics makes a set with a registry of its own, the Go runtime's and the
// process's metrics among them.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registerConsumer()
	m.registerBatches()
	m.registerInserts()
	m.registerContext()
	m.registerReconcile()
	m.registerSeal()
	m.registerLinks()
	m.registerNotify()
	m.registerIngest()
	return m
}

func (m *Metrics) registerConsumer() {
	m.recordsConsumed = m.counters("records_consumed_total", "Records fetched from Kafka.", "topic")
	m.bytesConsumed = m.counters("bytes_consumed_total", "Bytes of those records' values.", "topic")
	m.lag = m.gauges("lag_records", "Records of a partition that were not fetched yet, as of the last fetch.", "topic", "partition")
	m.sessionsEnded = m.counters("sessions_ended_total", "Memberships in the group that ended with an error; a new one begins.", "role")
	m.orphaned = m.counters("batches_orphaned_total", "Batches that were stored and whose commit is in doubt: they are stored again, as one.", "topic")
	m.stopped = m.gauges("partition_stopped", "1 for a partition that an operator has to look after.", "topic", "partition")
}

func (m *Metrics) registerBatches() {
	m.eventsStored = m.counters("events_stored_total", "Events in committed batches; those of the context topic are there a second time.", "topic", "kind")
	m.enriched = m.counter("observations_enriched_total", "Observations stored with their context.")
	m.deadLettered = m.counters("records_dead_lettered_total", "Records that could not be taken.", "reason")
	m.routed = m.counters("routed_total", "Records and events that a rule of the operator's sent to a topic of theirs.", "rule")
	m.dropped = m.counters("dropped_total", "Records and events that a rule of the operator's dropped.", "rule")
	m.ruleFailures = m.counters("rule_failures_total", "Expressions of rules that could not be computed for a record or an event.", "rule")
	m.eventsAhead = m.counter("events_ahead_total", "Observations whose time lies after their log-append time.")
	m.farAhead = m.counters("events_far_ahead_total", "Events whose time lies more than ten minutes after their log-append time: a clock or a time zone is wrong.", "topic")
	m.batchRecords = m.histogram("batch_records", "Records in a committed batch.", prometheus.ExponentialBuckets(1, 4, 11))
	m.batchSeconds = m.histogram("batch_seconds", "From a batch's intent to its acknowledged commit.", secondsBuckets)
	m.eventDelay = m.histogram("event_delay_seconds", "From the time of a batch's latest observation to its log-append time.", delayBuckets)
}

func (m *Metrics) registerInserts() {
	m.rowsInserted = m.counters("rows_inserted_total", "Rows in inserts that ClickHouse acknowledged, repeated ones among them.", "table")
	m.insertSeconds = register(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "whence", Name: "insert_seconds", Help: "One acknowledged insert into a table.", Buckets: secondsBuckets,
	}, []string{"table"}))
	m.insertErrors = m.counters("insert_errors_total", "Inserts that failed; they are tried again.", "table")
	m.insertsLate = m.counters("inserts_late_total", "Inserts that ClickHouse acknowledged when the worker had lost its partitions. Whoever has them now stores the same; token or key makes one of it.", "table")
	m.rowsMended = m.counter("rows_mended_total", "Observations that were not there although ClickHouse had acknowledged their insert; they are stored again.")
}

func (m *Metrics) registerContext() {
	m.revision = m.gauge("context_revision", "The last revision of the context log that is folded in.")
	m.facts = m.gauge("context_facts", "Facts that the timeline holds in memory.")
	m.factsForgotten = m.counter("context_facts_forgotten_total", "Facts let go of because nothing after the horizon needs them.")
	m.factsFetched = m.counter("context_facts_fetched_total", "Facts fetched from ClickHouse because something before the horizon was asked.")
	m.fetchSeconds = m.histogram("context_fetch_seconds", "One question for facts of the past.", secondsBuckets)
}

func (m *Metrics) registerReconcile() {
	m.reconciled = m.gauge("reconciled_revision", "The revision up to which every fact is in every row it concerns, as the worker that reconciles sees it.")
	m.reconcileLag = m.gauge("reconcile_pending_facts", "Facts that are known and not in every row yet.")
	m.passes = m.counter("reconcile_passes_total", "Times that the facts known were closed.")
	m.passesFailed = m.counter("reconcile_failures_total", "Passes that failed; they begin again.")
	m.rowsCorrected = m.counter("rows_corrected_total", "Observations rewritten because of a late fact.")
	m.passSeconds = m.histogram("reconcile_pass_seconds", "One pass, without its wait for the partitions.", secondsBuckets)
	m.promiseSeconds = m.histogram("reconcile_wait_seconds", "A pass's wait until all partitions know its facts.", secondsBuckets)
}

func (m *Metrics) registerSeal() {
	m.minutesOpen = m.gauge("minutes_open", "Minutes of a service without a valid seal: whoever asks for their vitals computes them.")
	m.minutesSealed = m.counter("minutes_sealed_total", "Minutes of a service that were sealed, again ones among them.")
	m.sealSeconds = m.histogram("seal_seconds", "One statement that seals minutes.", secondsBuckets)
	m.sealsFailed = m.counter("seal_failures_total", "Looks at the open minutes, and statements that took too long to seal so many, that failed; they are tried again.")
}

func (m *Metrics) registerLinks() {
	m.rankings = m.counters("rankings_total", "Rankings of the causes of an effect that were stored, again ones among them.", "effect")
	m.rankSeconds = m.histogram("ranking_seconds", "One ranking, from reading what is known to its being stored.", secondsBuckets)
	m.rankDelay = m.histogram("ranking_delay_seconds", "From Kafka taking an effect's last fact to its first ranking being stored.", delayBuckets)
	m.rankingsFailed = m.counter("ranking_failures_total", "Rankings that failed, or looks for what to rank; they are tried again.")
	m.effectsWaiting = m.gauge("effects_waiting", "Effects that are known to be ranked soon.")
}

// Ranked counts a ranking; late is how long after its effect's last fact the
// first one came, 0 for the others.
func (m *Metrics) Ranked(effect string, took, late time.Duration) {
	m.rankings.WithLabelValues(effect).Inc()
	m.rankSeconds.Observe(took.Seconds())
	if late > 0 {
		m.rankDelay.Observe(late.Seconds())
	}
}

// RankFailed counts a ranking that will be tried again.
func (m *Metrics) RankFailed() { m.rankingsFailed.Inc() }

// Waiting is how many effects will be ranked soon.
func (m *Metrics) Waiting(effects int) { m.effectsWaiting.Set(float64(effects)) }

// MinutesOpen is how many minutes have no valid seal.
func (m *Metrics) MinutesOpen(minutes int) { m.minutesOpen.Set(float64(minutes)) }

// MinutesSealed counts minutes that one statement sealed.
func (m *Metrics) MinutesSealed(minutes int, took time.Duration) {
	m.minutesSealed.Add(float64(minutes))
	m.sealSeconds.Observe(took.Seconds())
}

// SealFailed counts a look, or a statement of it, that will be tried again.
func (m *Metrics) SealFailed() { m.sealsFailed.Inc() }

// Reconcile says how far corrections are: facts up to cursor of those up to
// revision are in every row.
func (m *Metrics) Reconcile(cursor, revision uint64) {
	m.reconciled.Set(float64(cursor))
	m.reconcileLag.Set(float64(revision - min(cursor, revision)))
}

// Reconciled counts a pass and the rows it rewrote.
func (m *Metrics) Reconciled(rows uint64, took, waited time.Duration) {
	m.passes.Inc()
	m.rowsCorrected.Add(float64(rows))
	m.passSeconds.Observe((took - waited).Seconds())
	m.promiseSeconds.Observe(waited.Seconds())
}

// ReconcileFailed counts a pass that begins again.
func (m *Metrics) ReconcileFailed() { m.passesFailed.Inc() }

// Consumed counts fetched records, and bytes of their values.
func (m *Metrics) Consumed(topic string, records, bytes int) {
	m.recordsConsumed.WithLabelValues(topic).Add(float64(records))
	m.bytesConsumed.WithLabelValues(topic).Add(float64(bytes))
}

// Lag is how many records of a partition are not fetched yet.
func (m *Metrics) Lag(topic string, partition int32, records int64) {
	m.lag.WithLabelValues(topic, number(partition)).Set(float64(records))
}

// Lost forgets what was said of a partition that another worker owns now:
// two workers reporting its lag would double it in a sum.
func (m *Metrics) Lost(topic string, partition int32) {
	m.lag.DeleteLabelValues(topic, number(partition))
	m.stopped.DeleteLabelValues(topic, number(partition))
}

// SessionEnded counts a membership in the group that ended with an error.
func (m *Metrics) SessionEnded(role string, _ error) { m.sessionsEnded.WithLabelValues(role).Inc() }

// Orphaned counts a batch that was stored and perhaps not committed.
func (m *Metrics) Orphaned(b *pipeline.Batch) { m.orphaned.WithLabelValues(b.Topic).Inc() }

// PartitionStopped marks a partition that waits for an operator.
func (m *Metrics) PartitionStopped(topic string, partition int32, _ error) {
	m.stopped.WithLabelValues(topic, number(partition)).Set(1)
}

// Stored counts a committed batch and what was in it; took is from its intent
// to its commit.
func (m *Metrics) Stored(b *pipeline.Batch, took time.Duration) {
	m.batchRecords.Observe(float64(len(b.Records)))
	m.batchSeconds.Observe(took.Seconds())
	for kind, n := range map[string]int{"fact": len(b.Facts), "observation": len(b.Observations), "other": len(b.Others)} {
		if n > 0 {
			m.eventsStored.WithLabelValues(b.Topic, kind).Add(float64(n))
		}
	}
	m.enriched.Add(float64(len(b.Enrichments)))
	for i := range b.Dead {
		m.deadLettered.WithLabelValues(string(b.Dead[i].Reason)).Inc()
	}
	for i := range b.Routed {
		m.routed.WithLabelValues(b.Routed[i].Rule).Inc()
	}
	for i := range b.Dropped {
		m.dropped.WithLabelValues(b.Dropped[i].Rule).Inc()
	}
	m.observeDelay(b.Observations)
}

// RuleFailed counts an expression of a rule that could not be computed.
func (m *Metrics) RuleFailed(rule string) { m.ruleFailures.WithLabelValues(rule).Inc() }

// observeDelay takes the latest observation for its batch: the mean of a batch
// says nothing about freshness, and one sample an observation would cost more
// than it tells.
func (m *Metrics) observeDelay(observations []event.Observation) {
	latest, ahead := -1, 0
	for i := range observations {
		o := &observations[i]
		if o.Time > o.ReceivedAt {
			ahead++
		}
		if latest < 0 || o.Time > observations[latest].Time {
			latest = i
		}
	}
	m.eventsAhead.Add(float64(ahead))
	if latest >= 0 {
		delay := observations[latest].ReceivedAt - observations[latest].Time
		m.eventDelay.Observe(max(float64(delay)/1000, 0))
	}
}

// Inserted counts an acknowledged insert and how long it took.
func (m *Metrics) Inserted(table string, rows int, took time.Duration) {
	m.rowsInserted.WithLabelValues(table).Add(float64(rows))
	m.insertSeconds.WithLabelValues(table).Observe(took.Seconds())
}

// InsertFailed counts an insert that will be tried again.
func (m *Metrics) InsertFailed(table string) { m.insertErrors.WithLabelValues(table).Inc() }

// InsertedLate counts an acknowledged insert of a worker that had no right to it
// any more: it was paused, or cut off, in the middle.
func (m *Metrics) InsertedLate(table string) { m.insertsLate.WithLabelValues(table).Inc() }

// Mended counts observations that a repeated insert was to store and has not.
func (m *Metrics) Mended(rows int) { m.rowsMended.Add(float64(rows)) }

// Context is the revision folded in, and how many facts the timeline holds.
func (m *Metrics) Context(revision uint64, facts int) {
	m.revision.Set(float64(revision))
	m.facts.Set(float64(facts))
}

// Forgotten counts facts that were let go of; so many are left.
func (m *Metrics) Forgotten(facts, left int) {
	m.factsForgotten.Add(float64(facts))
	m.facts.Set(float64(left))
}

// Fetched counts facts that were fetched again.
func (m *Metrics) Fetched(facts int, took time.Duration) {
	m.factsFetched.Add(float64(facts))
	m.fetchSeconds.Observe(took.Seconds())
}

// Registry takes the metrics of libraries.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

func number(partition int32) string { return strconv.Itoa(int(partition)) }

func (m *Metrics) counter(name, help string) prometheus.Counter {
	return register(m, prometheus.NewCounter(prometheus.CounterOpts{Namespace: "whence", Name: name, Help: help}))
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return register(m, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "whence", Name: name, Help: help}, labels))
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	return register(m, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "whence", Name: name, Help: help}))
}

func (m *Metrics) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "whence", Name: name, Help: help}, labels))
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return register(m, prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "whence", Name: name, Help: help, Buckets: buckets}))
}

func register[C prometheus.Collector](m *Metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}
