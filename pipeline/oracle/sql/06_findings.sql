-- R25, and of R26 all that does not depend on an environment.
CREATE OR REPLACE TABLE whence_oracle.findings ENGINE = Memory AS
SELECT
    finding_id,
    argMaxIf(f.service, f.place, f.service != '') AS service,
    argMaxIf(f.environment, f.place, f.environment != '') AS environment,
    argMaxIf(f.repository, f.place, f.repository != '') AS repository,
    argMaxIf(f.revision, f.place, f.revision != '') AS revision_introduced,
    coalesce(
        argMaxOrNullIf(f.first_seen, f.place, f.first_seen != 0),
        minOrNullIf(f.time, f.type = 'finding.opened'),
        min(f.time)) AS seen,
    ifNull(minOrNullIf(f.time, f.type IN ('finding.remediated', 'finding.accepted')), 9223372036854775807) AS until
FROM
(
    SELECT
        place, time, type, service, environment,
        JSONExtractString(data, 'finding_id') AS finding_id,
        JSONExtractString(data, 'repository') AS repository,
        JSONExtractString(data, 'revision_introduced') AS revision,
        ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, 'first_seen')), 3, 'UTC')), 0) AS first_seen
    FROM whence_oracle.facts
    WHERE startsWith(type, 'finding.')
) AS f
GROUP BY finding_id;

-- R25: a finding is of its service; if it states none, of the services that list its repository.
-- R26: open from the completion in E of what brought the revision, else from when it was seen.
CREATE OR REPLACE TABLE whence_oracle.open_findings ENGINE = Memory AS
WITH
placed AS
(
    SELECT finding_id, service FROM whence_oracle.findings WHERE service != ''
    UNION DISTINCT
    SELECT f.finding_id, r.service
    FROM whence_oracle.findings AS f
    INNER JOIN
    (
        SELECT service, arrayJoin(JSONExtract(data, 'repositories', 'Array(String)')) AS repository
        FROM whence_oracle.facts
        WHERE type = 'service.declared' AND service != ''
    ) AS r ON r.repository = f.repository
    WHERE f.service = '' AND f.repository != ''
),
brought AS
(
    SELECT service, environment, arrayJoin(revisions) AS revision, min(d.completed) AS completed
    FROM whence_oracle.deployments AS d
    WHERE d.completed != 9223372036854775807
    GROUP BY service, environment, revision
)
SELECT
    f.finding_id AS finding_id, s.service AS service, s.environment AS environment,
    if(b.revision != '', b.completed, f.seen) AS since,
    f.until AS until
FROM whence_oracle.findings AS f
INNER JOIN placed AS p ON p.finding_id = f.finding_id
INNER JOIN whence_oracle.scopes AS s ON s.service = p.service
LEFT JOIN brought AS b
    ON b.service = s.service AND b.environment = s.environment AND b.revision = f.revision_introduced
WHERE f.environment IN ('', s.environment);
