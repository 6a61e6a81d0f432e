-- deployments: one row a deployment.
-- The stages of a deployment follow each other whatever their clocks say: a finished outweighs a progressed.
INSERT INTO whence.deployments
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), stage, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(JSONExtract(data, field, 'Nullable(Float64)'), ord, JSONExtract(data, field, 'Nullable(Float64)') IS NOT NULL)) AS number,
    (field -> argMaxIf(JSONExtract(data, field, 'Nullable(Bool)'), stage, JSONExtract(data, field, 'Nullable(Bool)') IS NOT NULL)) AS truth,
    (field -> arraySort(groupUniqArrayArray(JSONExtract(data, field, 'Array(String)')))) AS every
SELECT
    entity_id AS deployment_id,
    said('service') AS service,
    said('environment') AS environment,
    said('version') AS version,
    said('previous_version') AS previous_version,
    every('revisions') AS revisions,
    said('artifact') AS artifact,
    said('strategy') AS strategy,
    said('phase') AS phase,
    if(countIf(live AND type = 'io.whence.deployment.finished') = 0, 'in_progress', argMaxIf(JSONExtractString(data, 'outcome'), stage, live AND type = 'io.whence.deployment.finished')) AS state,
    number('percent') AS percent,
    number('replicas') AS replicas,
    argMaxIf(JSONExtractString(data, 'outcome'), stage, live AND type = 'io.whence.deployment.finished') AS outcome,
    minIf(time, live) AS started_at,
    minOrNullIf(time, live AND type = 'io.whence.deployment.finished') AS ended_at,
    minOrNullIf(time, live
        AND ((type = 'io.whence.deployment.finished' AND JSONExtractString(data, 'outcome') = 'success') OR JSONExtractFloat(data, 'percent') >= 100)) AS completed_at,
    minOrNullIf(time, type = 'io.whence.deployment.finished' AND JSONExtractString(data, 'outcome') IN ('failure', 'cancelled', 'rolled_back')) AS failed_at,
    arrayMap(p -> p.2, arraySort(p -> p.1, groupArrayIf((ord, JSONExtractFloat(data, 'percent')), JSONExtract(data, 'percent', 'Nullable(Float64)') IS NOT NULL))) AS percents,
    arrayMap(p -> p.1.1, arraySort(p -> p.1, groupArrayIf((ord, 0), JSONExtract(data, 'percent', 'Nullable(Float64)') IS NOT NULL))) AS percent_times,
    every('instances_added') AS instances_added,
    every('instances_removed') AS instances_removed,
    said('rollback_of') AS rollback_of,
    truth('planned') AS planned,
    said('reason') AS reason,
    every('remediates') AS remediates,
    said('requested_by') AS requested_by,
    countIf(live) AS facts,
    arrayMap(f -> f.1.1, arraySort(groupArrayIf((ord, cityHash64(source, id, type, content_hash)), live)) AS said_when) AS fact_times,
    arrayMap(f -> f.2, said_when) AS fact_hashes,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM (
    SELECT *, (indexOf(['io.whence.deployment.started', 'io.whence.deployment.progressed', 'io.whence.deployment.finished'], type), ord) AS stage
    FROM whence_state.entity_facts
    WHERE entity_kind = 'deployment' AND entity_id IN ({touched})
)
GROUP BY entity_id
