-- alerts: one row an alert.
INSERT INTO whence.alerts
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said
SELECT
    entity_id AS alert_id,
    said('fingerprint') AS fingerprint,
    said('incident_id') AS incident_id,
    said('service') AS service,
    said('environment') AS environment,
    said('severity') AS severity,
    said('summary') AS summary,
    argMaxIf(JSONExtract(data, 'labels', 'Map(String, String)'), ord, JSONType(data, 'labels') = 'Object') AS labels,
    minOrNullIf(time, live AND type = 'io.whence.alert.fired') AS fired_at,
    minOrNullIf(time, live AND type = 'io.whence.alert.resolved') AS resolved_at,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'alert' AND entity_id IN ({touched})
GROUP BY entity_id
