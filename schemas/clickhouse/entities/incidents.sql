-- incidents: one row an incident.
INSERT INTO whence.incidents
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, field)), 3, 'UTC'), ord, JSONExtractString(data, field) != '')) AS moment,
    (field -> arraySort(groupUniqArrayArray(JSONExtract(data, field, 'Array(String)')))) AS every
SELECT
    entity_id AS incident_id,
    said('service') AS service,
    arraySort(arrayFilter(s -> s != '', arrayDistinct(arrayConcat(groupUniqArray(JSONExtractString(data, 'service')), every('services'))))) AS services,
    said('environment') AS environment,
    said('severity') AS severity,
    said('priority') AS priority,
    said('title') AS title,
    coalesce(moment('started_at'), minOrNullIf(time, live AND type = 'io.whence.incident.opened'), minIf(time, live)) AS started_at,
    moment('detected_at') AS detected_at,
    minOrNullIf(time, live AND type = 'io.whence.incident.opened') AS opened_at,
    minOrNullIf(time, live AND type = 'io.whence.incident.acknowledged') AS acknowledged_at,
    minOrNullIf(time, live AND ord >= reopened_ord AND type IN ('io.whence.incident.resolved', 'io.whence.incident.merged')) AS resolved_at,
    ifNull(
        argMaxIf(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, 'ended_at')), 3, 'UTC'), ord, live AND ord >= reopened_ord AND JSONExtractString(data, 'ended_at') != ''),
        resolved_at) AS ended_at,
    countIf(live AND type = 'io.whence.incident.reopened') AS reopened,
    multiIf(merged_into != '', 'merged', resolved_at IS NULL, 'open', 'resolved') AS state,
    said('merged_into') AS merged_into,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM (
    SELECT *, maxIf(ord, live AND type = 'io.whence.incident.reopened') OVER (PARTITION BY entity_id) AS reopened_ord
    FROM whence_state.entity_facts
    WHERE entity_kind = 'incident' AND entity_id IN ({touched})
)
GROUP BY entity_id
