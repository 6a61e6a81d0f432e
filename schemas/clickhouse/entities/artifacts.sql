-- artifacts: one row an artifact.
INSERT INTO whence.artifacts
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said
SELECT
    entity_id AS artifact,
    said('revision') AS built_revision,
    said('signed_by') AS signed_by,
    minIf(time, live) AS published_at,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'artifact' AND entity_id IN ({touched})
GROUP BY entity_id
