-- R13, R14, R15: the deployment of each row. A stated version never falls to the other two.
CREATE OR REPLACE VIEW whence_oracle.served AS
SELECT
    o.row AS row, o.source AS source, o.id AS id, o.stated_service AS stated_service, o.environment AS environment,
    o.time AS time, o.name AS name, o.service AS service, o.version AS version, o.experiments AS experiments, o.said AS said,
    multiIf(o.version != '', v.deployment_id, i.deployment_id != '', i.deployment_id, c.deployment_id) AS deployment_id
FROM whence_oracle.observations AS o
ASOF LEFT JOIN whence_oracle.version_since AS v
    ON v.service = o.service AND v.environment = o.environment AND v.spelled = o.spelled AND v.since <= o.time
ASOF LEFT JOIN whence_oracle.instance_since AS i
    ON i.service = o.service AND i.environment = o.environment AND i.instance = o.instance AND i.since <= o.time
ASOF LEFT JOIN whence_oracle.completed_since AS c
    ON c.service = o.service AND c.environment = o.environment AND c.since <= o.time;

-- R18: a row's rollouts come before the percent of the latest of them.
CREATE OR REPLACE VIEW whence_oracle.rolling AS
SELECT
    s.row AS row, s.source AS source, s.id AS id, s.stated_service AS stated_service, s.environment AS environment,
    s.time AS time, s.name AS name, s.service AS service, s.version AS version, s.experiments AS experiments, s.said AS said,
    s.deployment_id AS deployment_id, r.rollout_ids AS rollout_ids, r.latest AS latest, r.hash AS rollouts
FROM whence_oracle.served AS s
ASOF LEFT JOIN whence_oracle.rollouts_since AS r
    ON r.service = s.service AND r.environment = s.environment AND r.since <= s.time;

-- Every enriched column of every observation of the span.
CREATE OR REPLACE VIEW whence_oracle.expected AS
SELECT
    o.row AS row, o.source AS source, o.id AS id, o.stated_service AS stated_service, o.environment AS environment, o.time AS time,
    o.name AS name,
    o.deployment_id AS deployment_id,
    if(o.deployment_id = '', o.version, k.deployed_version) AS deployed_version,
    k.previous_version AS previous_version,
    if(o.deployment_id = '', NULL, o.time - k.started) AS deployment_age_ms,
    o.rollout_ids AS rollout_ids,
    p.percent AS rollout_percent,
    k.change_ids AS change_ids,
    f.flags AS flags,
    n.incident_ids AS incident_ids,
    n.incident_severity AS incident_severity,
    d.finding_ids AS finding_ids,
    w.owner AS owner,
    t.tier AS tier,
    o.service AS canonical_service,
    o.experiments AS experiments,
    o.said AS said,
    (o.rollouts, k.hash, f.hash, n.hash, d.hash) AS hashes
FROM whence_oracle.rolling AS o
LEFT JOIN whence_oracle.conclusions AS k ON k.deployment_id = o.deployment_id
ASOF LEFT JOIN whence_oracle.percent_since AS p ON p.deployment_id = o.latest AND p.since <= o.time
ASOF LEFT JOIN whence_oracle.flags_since AS f ON f.service = o.service AND f.environment = o.environment AND f.since <= o.time
ASOF LEFT JOIN whence_oracle.incidents_since AS n ON n.service = o.service AND n.environment = o.environment AND n.since <= o.time
ASOF LEFT JOIN whence_oracle.findings_since AS d ON d.service = o.service AND d.environment = o.environment AND d.since <= o.time
ASOF LEFT JOIN whence_oracle.owner_since AS w ON w.service = o.service AND w.environment = o.environment AND w.since <= o.time
ASOF LEFT JOIN whence_oracle.tier_since AS t ON t.service = o.service AND t.environment = o.environment AND t.since <= o.time;

-- Of each row a hash of every column, as 20_rows.sql makes them of the stored ones, and what the vitals of its minute are
-- made of. The lists themselves are not carried along: a service may have hundreds of flags.
CREATE OR REPLACE TABLE whence_oracle.answers ENGINE = MergeTree ORDER BY tuple() AS
SELECT
    row,
    [
        cityHash64(deployment_id), cityHash64(deployed_version), cityHash64(previous_version),
        cityHash64(ifNull(toString(deployment_age_ms), '')), hashes.1, cityHash64(rollout_percent), hashes.2, hashes.3, hashes.4,
        cityHash64(incident_severity), hashes.5, cityHash64(owner), cityHash64(tier), cityHash64(canonical_service),
        if(empty(experiments), 0, cityHash64(mapKeys(experiments), mapValues(experiments)))
    ] AS answer,
    stated_service AS service, environment, toDateTime(intDiv(time, 60000) * 60, 'UTC') AS minute, name,
    deployment_id, deployed_version, canonical_service,
    said.user AS user, said.recorded AS recorded, said.measured AS measured, said.ok AS ok, said.duration_ms AS duration_ms,
    said.weight AS weight, said.requests AS requests, said.errors AS errors, said.success_ratio AS success_ratio,
    said.latency_ms AS latency_ms, said.latency_p99_ms AS latency_p99_ms
FROM whence_oracle.expected;
