-- +goose Up

-- Each observation as the table showed it at a moment of the wall clock. A row was there once the ledger had its batch, and
-- showed the first of its images that was superseded after the moment, or what it shows now. So nothing that is stored or
-- corrected later changes the answer, but for what comes a second time, in a record of its own: it takes the row's place,
-- and was there from then on.
-- A partition is stored in order, so what of it was there is said by one offset. Rows know their topic's name alone: a topic
-- made anew begins at 0 again, and what of an older one of that name was taken is told by when it was last stored of. A
-- record that was a dead letter at first was there from its replay on.
-- The ledger is read whole, 0.2 s a million batches (2 cores). Observations and images are read by their keys, so ask for a
-- service, an environment or a time.
CREATE OR REPLACE VIEW whence.observations_at ON CLUSTER '{cluster}' AS
WITH
    parseDateTime64BestEffort(if(match({moment:String}, '^\\d{4}[-/]?\\d{2}[-/]?\\d{2}'), {moment:String}, concat('not a day and time: ', {moment:String})), 3, 'UTC') AS at,
    logs AS
    (
        SELECT topic AS log, partition AS log_partition, groupArray((upto, last)) AS ends, max(last) AS newest
        FROM
        (
            SELECT topic, topic_id, partition, maxIf(to_offset, written_at <= at) AS upto, max(written_at) AS last
            FROM whence_state.batches
            GROUP BY topic, topic_id, partition
        )
        GROUP BY topic, partition
    ),
    images AS
    (
        SELECT
            source, id, time, name, service, environment, content_hash,
            min(superseded_at) AS superseded,
            argMin((
                deployment_id, deployed_version, previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids, flags,
                incident_ids, incident_severity, finding_ids, owner, tier, canonical_service, experiments, observations_history.revision),
                superseded_at) AS image
        FROM whence.observations_history
        WHERE superseded_at > at
        GROUP BY source, id, time, name, service, environment, content_hash
    )
SELECT
    source, id, type, subject, time, tenant, region, cluster, cell, trace_id, sequence, extensions, name, service, environment,
    user, session, version, instance, ok, duration_ms, value, weight, attributes, experiment, variant, unit_id, anonymous_id,
    fingerprint, message, frames, caller, callee, interval_ms, requests, errors, success_ratio, latency_ms, latency_p99_ms,
    cpu_ratio, memory_ratio, extra,
    if(superseded > at, image.1, current.deployment_id) AS deployment_id,
    if(superseded > at, image.2, current.deployed_version) AS deployed_version,
    if(superseded > at, image.3, current.previous_version) AS previous_version,
    if(superseded > at, image.4, current.deployment_age_ms) AS deployment_age_ms,
    if(superseded > at, image.5, current.rollout_ids) AS rollout_ids,
    if(superseded > at, image.6, current.rollout_percent) AS rollout_percent,
    if(superseded > at, image.7, current.change_ids) AS change_ids,
    if(superseded > at, image.8, current.flags) AS flags,
    if(superseded > at, image.9, current.incident_ids) AS incident_ids,
    if(superseded > at, image.10, current.incident_severity) AS incident_severity,
    if(superseded > at, image.11, current.finding_ids) AS finding_ids,
    if(superseded > at, image.12, current.owner) AS owner,
    if(superseded > at, image.13, current.tier) AS tier,
    if(superseded > at, image.14, current.canonical_service) AS canonical_service,
    if(superseded > at, image.15, current.experiments) AS experiments,
    if(superseded > at, image.16, current.revision) AS revision,
    content_hash, received_at, topic, partition, offset
FROM (SELECT * FROM whence.observations FINAL) AS current
LEFT JOIN images USING (source, id, time, name, service, environment, content_hash)
INNER JOIN logs ON logs.log = current.topic AND logs.log_partition = current.partition
WHERE arrayExists(end -> offset < end.1 AND (end.2 = newest OR received_at <= end.2), ends)
    AND (topic, partition, offset) NOT IN
    (
        SELECT topic, partition, offset
        FROM whence.dead_letter_replays FINAL
        WHERE outcome = 'stored' AND replayed_at > at
    );

-- +goose Down

DROP VIEW IF EXISTS whence.observations_at ON CLUSTER '{cluster}' SYNC;
