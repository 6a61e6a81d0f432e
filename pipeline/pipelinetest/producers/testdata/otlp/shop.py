"""A shop that is traced by the OpenTelemetry SDK and exports over OTLP/HTTP."""
import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

url, token = sys.argv[1], sys.argv[2]
how = {"headers": {"Authorization": "Bearer " + token}, "compression": Compression.Gzip}
resource = Resource.create({
    "service.name": "shop", "service.version": "4.2.0", "service.instance.id": "shop-0",
    "deployment.environment.name": "production",
})

traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url + "/v1/traces", **how)))
trace.set_tracer_provider(traces)
meters = MeterProvider(resource=resource, metric_readers=[
    PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=url + "/v1/metrics", **how)),
])
metrics.set_meter_provider(meters)
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=url + "/v1/logs", **how)))
set_logger_provider(logs)
logging.getLogger().addHandler(LoggingHandler(logger_provider=logs))

orders = metrics.get_meter("shop").create_counter("shop.orders", unit="{order}")
for number in range(20):
    with trace.get_tracer("shop").start_as_current_span("POST /orders", kind=trace.SpanKind.SERVER) as span:
        span.set_attribute("http.request.method", "POST")
        span.set_attribute("http.route", "/orders")
        span.set_attribute("http.response.status_code", 500 if number == 7 else 200)
        if number == 7:
            span.set_status(trace.StatusCode.ERROR)
    orders.add(1)
logging.error("an order was lost")

# Each returns whether all was exported.
assert traces.force_flush(), "spans were not exported"
assert meters.force_flush(), "metrics were not exported"
assert logs.force_flush(), "logs were not exported"
for provider in (traces, meters, logs):
    provider.shutdown()
