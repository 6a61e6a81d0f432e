CREATE OR REPLACE TABLE whence_oracle.stages ENGINE = Memory AS
SELECT
    place, time, service, environment,
    transform(type, ['deployment.started', 'deployment.progressed', 'deployment.finished'], [1, 2, 3], 0) AS stage,
    JSONExtractString(data, 'deployment_id') AS deployment_id,
    JSONExtractString(data, 'version') AS version,
    JSONExtractString(data, 'previous_version') AS previous_version,
    JSONExtract(data, 'revisions', 'Array(String)') AS revisions,
    JSONExtract(data, 'instances_added', 'Array(String)') AS instances,
    JSONExtract(data, 'percent', 'Nullable(Float64)') AS percent,
    JSONExtractString(data, 'outcome') AS outcome
FROM whence_oracle.facts
WHERE stage > 0;

-- R4, R8 to R12 and the spelling of R13. A place is of the fact that decides, for comparing two deployments of the same millisecond.
CREATE OR REPLACE TABLE whence_oracle.deployments ENGINE = Memory AS
WITH {plain}
SELECT *, plain(version) AS spelled
FROM
(
    WITH
        s.stage = 3 AND s.outcome = 'success' OR ifNull(s.percent, 0) >= 100 AS completes,
        s.stage = 3 AND s.outcome IN ('failure', 'cancelled', 'rolled_back') AS fails
    SELECT
        deployment_id,
        argMaxIf(s.service, (s.stage, s.place), s.service != '') AS service,
        argMaxIf(s.environment, (s.stage, s.place), s.environment != '') AS environment,
        argMaxIf(s.version, (s.stage, s.place), s.version != '') AS version,
        argMaxIf(s.previous_version, (s.stage, s.place), s.previous_version != '') AS previous_version,
        groupUniqArrayArray(s.revisions) AS revisions,
        groupUniqArrayArray(s.instances) AS instances,
        min(s.time) AS started,
        min(s.place) AS start_place,
        ifNull(minOrNullIf(s.time, s.stage = 3), 9223372036854775807) AS ended,
        ifNull(minOrNullIf(s.time, completes), 9223372036854775807) AS completed,
        minIf(s.place, completes) AS completion_place,
        ifNull(minOrNullIf(s.time, fails), 9223372036854775807) AS failed
    FROM whence_oracle.stages AS s
    GROUP BY deployment_id
    HAVING service != ''
);

-- R13: of S in E with a version, in any spelling, started, not failed: the latest start.
CREATE OR REPLACE TABLE whence_oracle.version_since ENGINE = Memory AS
SELECT
    m.service AS service, m.environment AS environment, m.spelled AS spelled, m.since AS since,
    argMaxIf(d.deployment_id, d.start_place, d.started <= m.since AND m.since < d.failed) AS deployment_id
FROM
(
    SELECT DISTINCT service, environment, spelled, arrayJoin([started, failed]) AS since
    FROM whence_oracle.deployments
    WHERE version != ''
) AS m
INNER JOIN whence_oracle.deployments AS d
    ON d.service = m.service AND d.environment = m.environment AND d.spelled = m.spelled
GROUP BY service, environment, spelled, since;

-- R14: of S in E, added the instance, started, not failed: the latest start.
CREATE OR REPLACE TABLE whence_oracle.instance_since ENGINE = Memory AS
WITH added AS
(
    SELECT deployment_id, service, environment, arrayJoin(instances) AS instance, started, start_place, failed
    FROM whence_oracle.deployments
)
SELECT
    m.service AS service, m.environment AS environment, m.instance AS instance, m.since AS since,
    argMaxIf(d.deployment_id, d.start_place, d.started <= m.since AND m.since < d.failed) AS deployment_id
FROM
(
    SELECT DISTINCT service, environment, instance, arrayJoin([started, failed]) AS since
    FROM added
    WHERE instance != ''
) AS m
INNER JOIN added AS d
    ON d.service = m.service AND d.environment = m.environment AND d.instance = m.instance
GROUP BY service, environment, instance, since;

-- R15: of S in E, completed, not failed: the latest completion.
CREATE OR REPLACE TABLE whence_oracle.completed_since ENGINE = Memory AS
SELECT
    m.service AS service, m.environment AS environment, m.since AS since,
    argMaxIf((d.deployment_id, d.version), d.completion_place, d.completed <= m.since AND m.since < d.failed) AS chosen,
    chosen.1 AS deployment_id,
    chosen.2 AS version
FROM
(
    SELECT DISTINCT service, environment, arrayJoin([completed, failed]) AS since
    FROM whence_oracle.deployments
) AS m
INNER JOIN whence_oracle.deployments AS d ON d.service = m.service AND d.environment = m.environment
GROUP BY service, environment, since;

-- R17: changes of every kind and deployments meet in their revisions; no time is compared.
CREATE OR REPLACE TABLE whence_oracle.deployment_changes ENGINE = Memory AS
WITH changes AS
(
    SELECT DISTINCT
        JSONExtractString(data, 'change_id') AS change_id,
        arrayJoin(arrayPushBack(
            arrayMap(c -> JSONExtractString(c, 'revision'), JSONExtractArrayRaw(data, 'commits')),
            JSONExtractString(data, 'revision'))) AS revision
    FROM whence_oracle.facts
    WHERE type IN ('change.merged', 'configuration.changed', 'migration.applied', 'infrastructure.changed')
)
SELECT d.deployment_id AS deployment_id, arraySort(groupUniqArray(c.change_id)) AS change_ids
FROM (SELECT deployment_id, arrayJoin(revisions) AS revision FROM whence_oracle.deployments) AS d
INNER JOIN changes AS c ON c.revision = d.revision
WHERE d.revision != ''
GROUP BY deployment_id;

-- R16: what is said of a row through its deployment. The version before, where the deployment states none, is what
-- R15 gives one millisecond before its start.
CREATE OR REPLACE TABLE whence_oracle.conclusions ENGINE = Memory AS
SELECT
    d.deployment_id AS deployment_id, d.version AS deployed_version, d.started AS started,
    if(d.previous_version != '', d.previous_version, before.version) AS previous_version,
    c.change_ids AS change_ids,
    if(empty(change_ids), 0, cityHash64(change_ids)) AS hash
FROM (SELECT *, started - 1 AS eve FROM whence_oracle.deployments) AS d
ASOF LEFT JOIN whence_oracle.completed_since AS before
    ON before.service = d.service AND before.environment = d.environment AND before.since <= d.eve
LEFT JOIN whence_oracle.deployment_changes AS c ON c.deployment_id = d.deployment_id;

-- R18: the percent a deployment has stated last.
CREATE OR REPLACE TABLE whence_oracle.percent_since ENGINE = Memory AS
SELECT deployment_id, time AS since, argMax(assumeNotNull(s.percent), s.place) AS percent
FROM whence_oracle.stages AS s
WHERE s.percent IS NOT NULL
GROUP BY deployment_id, time;
