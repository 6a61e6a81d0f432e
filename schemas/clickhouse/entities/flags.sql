-- flags: one row a flag in an environment, as it stands now.
INSERT INTO whence.flags
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(JSONExtractRaw(data, field), ord, JSONType(data, field) != 'Null')) AS raw
SELECT
    entity_id AS flag,
    environment,
    raw('rules') AS rules,
    raw('previous') AS previous,
    argMaxIf(JSONExtract(data, 'services', 'Array(String)'), ord, live) AS services,
    said('changed_by') AS changed_by,
    maxIf(time, live) AS changed_at,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'flag' AND entity_id IN ({touched})
GROUP BY entity_id, environment
