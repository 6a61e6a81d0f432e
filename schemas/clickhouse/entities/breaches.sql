-- breaches: one row a breach.
INSERT INTO whence.breaches
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, field)), 3, 'UTC'), ord, JSONExtractString(data, field) != '')) AS moment,
    (field -> argMaxIf(JSONExtract(data, field, 'Nullable(Float64)'), ord, JSONExtract(data, field, 'Nullable(Float64)') IS NOT NULL)) AS number
SELECT
    entity_id AS breach_id,
    said('service') AS service,
    said('environment') AS environment,
    said('severity') AS severity,
    coalesce(moment('started_at'), minOrNullIf(time, live AND type = 'io.whence.breach.detected'), minIf(time, live)) AS started_at,
    minOrNullIf(time, live AND type = 'io.whence.breach.detected') AS detected_at,
    minOrNullIf(time, live AND type = 'io.whence.breach.contained') AS contained_at,
    said('actor') AS actor,
    number('records') AS records,
    said('finding_id') AS finding_id,
    if(contained_at IS NULL, 'open', 'contained') AS state,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'breach' AND entity_id IN ({touched})
GROUP BY entity_id
