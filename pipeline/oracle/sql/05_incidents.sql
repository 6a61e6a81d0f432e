-- R22: each reopened fact begins a new episode; `episode` counts them, 0 is the first.
CREATE OR REPLACE TABLE whence_oracle.incident_facts ENGINE = Memory AS
SELECT
    JSONExtractString(data, 'incident_id') AS incident_id,
    place, time, type, environment,
    arrayFilter(s -> s != '', arrayPushBack(services, service)) AS services,
    JSONExtractString(data, 'severity') AS severity,
    ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, 'started_at')), 3, 'UTC')), 0) AS started_at,
    ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, 'ended_at')), 3, 'UTC')), 0) AS ended_at,
    countIf(type = 'incident.reopened') OVER (PARTITION BY incident_id ORDER BY place ROWS UNBOUNDED PRECEDING) AS episode
FROM whence_oracle.facts
WHERE startsWith(type, 'incident.');

-- R20, R21.
CREATE OR REPLACE TABLE whence_oracle.incidents ENGINE = Memory AS
SELECT
    incident_id,
    groupUniqArrayArray(f.services) AS services,
    argMaxIf(f.environment, f.place, f.environment != '') AS environment,
    coalesce(
        argMaxOrNullIf(f.started_at, f.place, f.started_at != 0),
        minOrNullIf(f.time, f.type = 'incident.opened'),
        min(f.time)) AS onset,
    argMinIf(f.severity, f.place, f.severity != '') AS first_severity
FROM whence_oracle.incident_facts AS f
GROUP BY incident_id;

-- R22. The first episode exists even where the first fact known is a reopening.
CREATE OR REPLACE TABLE whence_oracle.episodes ENGINE = Memory AS
WITH parts AS
(
    SELECT
        incident_id, episode,
        minOrNullIf(time, type = 'incident.reopened') AS reopened,
        argMaxOrNullIf(ended_at, place, ended_at != 0) AS stated_end,
        minOrNullIf(time, type IN ('incident.resolved', 'incident.merged')) AS closed
    FROM
    (
        SELECT incident_id, episode, place, time, type, ended_at FROM whence_oracle.incident_facts
        UNION ALL
        SELECT incident_id, 0, 0, 0, '', 0 FROM whence_oracle.incidents
    )
    GROUP BY incident_id, episode
)
SELECT
    p.incident_id AS incident_id,
    arrayJoin(i.services) AS service,
    i.environment AS environment,
    if(p.episode = 0, i.onset, assumeNotNull(p.reopened)) AS since,
    coalesce(p.stated_end, p.closed, p.next_reopened, 9223372036854775807) AS until
FROM
(
    SELECT *, leadInFrame(reopened) OVER
        (PARTITION BY incident_id ORDER BY episode ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next_reopened
    FROM parts
) AS p
INNER JOIN whence_oracle.incidents AS i ON i.incident_id = p.incident_id;

-- R24: the last severity stated; before any, the first.
CREATE OR REPLACE TABLE whence_oracle.severity_since ENGINE = Memory AS
SELECT incident_id, time AS since, argMax(f.severity, f.place) AS severity
FROM whence_oracle.incident_facts AS f
WHERE f.severity != ''
GROUP BY incident_id, time
UNION ALL
SELECT incident_id, -9223372036854775808, first_severity
FROM whence_oracle.incidents
WHERE first_severity != '';
