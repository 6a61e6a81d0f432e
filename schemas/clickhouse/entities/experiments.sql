-- experiments: one row an experiment.
INSERT INTO whence.experiments
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(JSONExtract(data, field, 'Array(String)'), ord, notEmpty(JSONExtract(data, field, 'Array(String)')))) AS list,
    (field -> argMaxIf(JSONExtractRaw(data, field), ord, JSONType(data, field) != 'Null')) AS raw
SELECT
    entity_id AS experiment,
    said('hypothesis') AS hypothesis,
    said('unit') AS unit,
    mapFromArrays(arrayMap(v -> JSONExtractString(v, 'name'), JSONExtractArrayRaw(raw('variants'))),
        arrayMap(v -> JSONExtractFloat(v, 'weight'), JSONExtractArrayRaw(raw('variants')))) AS variants,
    said('primary_metric') AS primary_metric,
    list('guardrails') AS guardrails,
    list('services') AS services,
    minOrNullIf(time, live AND type = 'io.whence.experiment.started') AS started_at,
    minOrNullIf(time, live AND type = 'io.whence.experiment.stopped') AS stopped_at,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'experiment' AND entity_id IN ({touched})
GROUP BY entity_id
