-- R13, R14, R15: the deployment of each row. A stated version never falls to the other two.
CREATE TABLE whence_oracle.served ENGINE = MergeTree ORDER BY (service, environment, time) AS
SELECT
    o.source AS source, o.id AS id, o.stated_service AS stated_service, o.environment AS environment, o.time AS time,
    o.name AS name, o.service AS service, o.experiments AS experiments, o.version AS version,
    multiIf(o.version != '', v.deployment_id, i.deployment_id != '', i.deployment_id, c.deployment_id) AS deployment_id
FROM whence_oracle.observations AS o
ASOF LEFT JOIN whence_oracle.version_since AS v
    ON v.service = o.service AND v.environment = o.environment AND v.version = o.version AND v.since <= o.time
ASOF LEFT JOIN whence_oracle.instance_since AS i
    ON i.service = o.service AND i.environment = o.environment AND i.instance = o.instance AND i.since <= o.time
ASOF LEFT JOIN whence_oracle.completed_since AS c
    ON c.service = o.service AND c.environment = o.environment AND c.since <= o.time;

-- R18: a row's rollouts come before the percent of the latest of them.
CREATE TABLE whence_oracle.rolling ENGINE = MergeTree ORDER BY (service, environment, time) AS
SELECT
    s.source AS source, s.id AS id, s.stated_service AS stated_service, s.environment AS environment, s.time AS time,
    s.name AS name, s.service AS service, s.experiments AS experiments, s.version AS version,
    s.deployment_id AS deployment_id, r.rollout_ids AS rollout_ids, r.latest AS latest
FROM whence_oracle.served AS s
ASOF LEFT JOIN whence_oracle.rollouts_since AS r
    ON r.service = s.service AND r.environment = s.environment AND r.since <= s.time;

-- Every enriched column of every observation.
CREATE TABLE whence_oracle.expected ENGINE = MergeTree ORDER BY (stated_service, environment, name, time, source, id) AS
SELECT
    o.source AS source, o.id AS id, o.stated_service AS stated_service, o.environment AS environment, o.time AS time,
    o.name AS name,
    o.deployment_id AS deployment_id,
    if(o.version != '', o.version, k.deployed_version) AS deployed_version,
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
    o.experiments AS experiments
FROM whence_oracle.rolling AS o
LEFT JOIN whence_oracle.conclusions AS k ON k.deployment_id = o.deployment_id
ASOF LEFT JOIN whence_oracle.percent_since AS p ON p.deployment_id = o.latest AND p.since <= o.time
ASOF LEFT JOIN whence_oracle.flags_since AS f ON f.service = o.service AND f.environment = o.environment AND f.since <= o.time
ASOF LEFT JOIN whence_oracle.incidents_since AS n ON n.service = o.service AND n.environment = o.environment AND n.since <= o.time
ASOF LEFT JOIN whence_oracle.findings_since AS d ON d.service = o.service AND d.environment = o.environment AND d.since <= o.time
ASOF LEFT JOIN whence_oracle.owner_since AS w ON w.service = o.service AND w.environment = o.environment AND w.since <= o.time
ASOF LEFT JOIN whence_oracle.tier_since AS t ON t.service = o.service AND t.environment = o.environment AND t.since <= o.time;
