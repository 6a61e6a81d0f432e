-- R4, R8 to R12. Percents in the order R2, which knows no stages.
INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'deployments', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        e.key AS key,
        e.key[1] AS deployment_id,
        text('service') AS service,
        text('environment') AS environment,
        text('version') AS version,
        text('previous_version') AS previous_version,
        all_of('revisions') AS revisions,
        text('artifact') AS artifact,
        text('strategy') AS strategy,
        text('phase') AS phase,
        if(s.ended = 0, 'in_progress', s.outcome) AS state,
        if(empty(s.percents), NULL, s.percents[-1].2) AS percent,
        JSONExtract(last['replicas'], 'Nullable(Float64)') AS replicas,
        s.outcome AS outcome,
        at(s.started) AS started_at,
        if(s.ended = 0, NULL, at(s.ended)) AS ended_at,
        if(s.completed = 0, NULL, at(s.completed)) AS completed_at,
        if(s.failed = 0, NULL, at(s.failed)) AS failed_at,
        s.percents.2 AS percents,
        arrayMap(p -> at(p.3), s.percents) AS percent_times,
        all_of('instances_added') AS instances_added,
        all_of('instances_removed') AS instances_removed,
        text('rollback_of') AS rollback_of,
        truth('planned') AS planned,
        text('reason') AS reason,
        all_of('remediates') AS remediates,
        text('requested_by') AS requested_by,
        facts,
        arrayMap(f -> at(f.2), h.said) AS fact_times,
        h.said.3 AS fact_hashes,
        {last}
    FROM (SELECT * FROM whence_oracle.entities WHERE entity = 'deployments') AS e
    INNER JOIN
    (
        SELECT
            deployment_id, min(time) AS started,
            minIf(time, stage = 3) AS ended,
            argMaxIf(s.outcome, s.place, stage = 3) AS outcome,
            minIf(time, stage = 3 AND s.outcome = 'success' OR ifNull(percent, 0) >= 100) AS completed,
            minIf(time, stage = 3 AND s.outcome IN ('failure', 'cancelled', 'rolled_back')) AS failed,
            arraySort(groupArrayIf((place, assumeNotNull(percent), time), percent IS NOT NULL)) AS percents
        FROM whence_oracle.stages AS s
        GROUP BY deployment_id
    ) AS s ON s.deployment_id = e.key[1]
    INNER JOIN
    (
        SELECT key, arraySort(groupArray((place, time, cityHash64(source, id, concat('io.whence.', type), content_hash)))) AS said
        FROM whence_oracle.about
        WHERE entity = 'deployments'
        GROUP BY key
    ) AS h ON h.key = e.key
);
