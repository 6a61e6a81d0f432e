-- tests: one row a case of a test run.
INSERT INTO whence.tests
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(JSONExtract(data, field, 'Nullable(Float64)'), ord, JSONExtract(data, field, 'Nullable(Float64)') IS NOT NULL)) AS number,
    (field -> argMaxIf(JSONExtract(data, field, 'Nullable(Bool)'), ord, JSONExtract(data, field, 'Nullable(Bool)') IS NOT NULL)) AS truth
SELECT
    entity_id AS run_id,
    JSONExtractString(stated, 'suite') AS suite,
    JSONExtractString(stated, 'case') AS case,
    said('revision') AS tested_revision,
    said('outcome') AS outcome,
    number('duration_ms') AS duration_ms,
    truth('flaky') AS flaky,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'test' AND entity_id IN ({touched})
GROUP BY entity_id, suite, case
