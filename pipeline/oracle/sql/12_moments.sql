-- Of what is asked by moments, those of the span: what holds at {start}, and what changes between there and {end}. Lists are
-- hashed here, once a moment and not once a row; an empty one, as where there is no moment, has the hash 0.

-- R18: of S in E, started and not ended, by start.
CREATE OR REPLACE TABLE whence_oracle.rollouts_since ENGINE = Memory AS
WITH around AS (SELECT * FROM whence_oracle.deployments WHERE started < {end} AND ended > {start})
SELECT
    m.service AS service, m.environment AS environment, m.moment AS since,
    arraySort(groupArrayIf((d.start_place, d.deployment_id), d.started <= m.moment AND m.moment < d.ended)).2 AS rollout_ids,
    if(empty(rollout_ids), '', rollout_ids[-1]) AS latest,
    if(empty(rollout_ids), 0, cityHash64(rollout_ids)) AS hash
FROM
(
    SELECT DISTINCT service, environment, arrayJoin([{start}, started, ended]) AS moment
    FROM around
    WHERE {start} <= moment AND moment < {end}
) AS m
INNER JOIN around AS d ON d.service = m.service AND d.environment = m.environment
GROUP BY service, environment, since;

-- R19: of each flag of S in E the last that was said before the span, and all in it.
CREATE OR REPLACE TABLE whence_oracle.flag_changes ENGINE = Memory AS
SELECT
    s.service AS service, s.environment AS environment, f.flag AS flag, greatest(f.time, {start}) AS since,
    max(f.place) AS place, argMax(f.rules, f.place) AS rules
FROM whence_oracle.scopes AS s
INNER JOIN whence_oracle.flag_facts AS f ON f.environment = s.environment
WHERE f.time < {end} AND (empty(f.services) OR has(f.services, s.service))
GROUP BY service, environment, flag, since;

CREATE OR REPLACE TABLE whence_oracle.flags_since ENGINE = Memory AS
SELECT
    service, environment, since, mapFromArrays(pairs.1, pairs.2) AS flags, arraySort(groupArray((flag, rules))) AS pairs,
    cityHash64(pairs.1, pairs.2) AS hash
FROM
(
    SELECT m.service AS service, m.environment AS environment, m.since AS since, f.flag AS flag, argMax(f.rules, f.place) AS rules
    FROM (SELECT DISTINCT service, environment, since FROM whence_oracle.flag_changes) AS m
    INNER JOIN whence_oracle.flag_changes AS f ON f.service = m.service AND f.environment = m.environment
    WHERE f.since <= m.since
    GROUP BY service, environment, since, flag
)
GROUP BY service, environment, since;

-- R23 and R24 for each moment at which an incident of S in E begins, ends or changes its severity.
CREATE OR REPLACE TABLE whence_oracle.incidents_since ENGINE = Memory AS
WITH
around AS (SELECT * FROM whence_oracle.episodes WHERE since < {end} AND until > {start}),
moments AS
(
    SELECT service, environment, moment AS since
    FROM
    (
        SELECT service, environment, arrayJoin([{start}, since, until]) AS moment FROM around
        UNION DISTINCT
        SELECT e.service, e.environment, s.since
        FROM around AS e
        INNER JOIN whence_oracle.severity_since AS s ON s.incident_id = e.incident_id
    )
    WHERE {start} <= moment AND moment < {end}
),
holding AS
(
    SELECT DISTINCT m.service AS service, m.environment AS environment, m.since AS since, e.incident_id AS incident_id
    FROM moments AS m
    INNER JOIN around AS e ON e.service = m.service AND e.environment = m.environment
    WHERE e.since <= m.since AND m.since < e.until
),
answers AS
(
    SELECT
        h.service AS service, h.environment AS environment, h.since AS since,
        arraySort(groupArray(h.incident_id)) AS incident_ids,
        arrayMin(groupArray((
            multiIf(s.severity = '', 7, indexOf(['critical', 'high', 'medium', 'low', 'info'], s.severity) = 0, 6,
                indexOf(['critical', 'high', 'medium', 'low', 'info'], s.severity)),
            s.severity))).2 AS incident_severity
    FROM holding AS h
    ASOF LEFT JOIN whence_oracle.severity_since AS s ON s.incident_id = h.incident_id AND s.since <= h.since
    GROUP BY service, environment, since
)
SELECT
    m.service AS service, m.environment AS environment, m.since AS since,
    a.incident_ids AS incident_ids, a.incident_severity AS incident_severity,
    if(empty(incident_ids), 0, cityHash64(incident_ids)) AS hash
FROM moments AS m
LEFT JOIN answers AS a ON a.service = m.service AND a.environment = m.environment AND a.since = m.since;

-- R27.
CREATE OR REPLACE TABLE whence_oracle.findings_since ENGINE = Memory AS
WITH around AS (SELECT * FROM whence_oracle.open_findings WHERE since < {end} AND until > {start})
SELECT
    m.service AS service, m.environment AS environment, m.moment AS since,
    arraySort(groupUniqArrayIf(f.finding_id, f.since <= m.moment AND m.moment < f.until)) AS finding_ids,
    if(empty(finding_ids), 0, cityHash64(finding_ids)) AS hash
FROM
(
    SELECT DISTINCT service, environment, arrayJoin([{start}, since, until]) AS moment
    FROM around
    WHERE {start} <= moment AND moment < {end}
) AS m
INNER JOIN around AS f ON f.service = m.service AND f.environment = m.environment
GROUP BY service, environment, since;
