-- builds: one row a build.
INSERT INTO whence.builds
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, field)), 3, 'UTC'), ord, JSONExtractString(data, field) != '')) AS moment,
    (field -> argMaxIf(JSONExtract(data, field, 'Nullable(Float64)'), ord, JSONExtract(data, field, 'Nullable(Float64)') IS NOT NULL)) AS number
SELECT
    entity_id AS build_id,
    said('repository') AS repository,
    said('revision') AS built_revision,
    said('outcome') AS outcome,
    moment('started_at') AS started_at,
    number('duration_ms') AS duration_ms,
    said('artifact') AS artifact,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'build' AND entity_id IN ({touched})
GROUP BY entity_id
