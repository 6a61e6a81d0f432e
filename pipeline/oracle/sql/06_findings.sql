-- R30: what the parts of scans list, as if each finding had a fact of its own. A part without a number is the first, and
-- of one if it doesn't say of how many; `place` has a second part because one fact may list a finding twice.
CREATE OR REPLACE TABLE whence_oracle.scan_parts ENGINE = Memory AS
WITH (field -> if(JSONExtractInt(data, field) BETWEEN 0 AND 2147483647, JSONExtractInt(data, field), 0)) AS number
SELECT
    place, time, data, service, environment,
    (JSONExtractString(data, 'tool'), JSONExtractString(data, 'target')) AS field,
    JSONExtractString(data, 'scan_id') AS scan_id,
    if(number('part') = 0, 1, number('part')) AS part,
    if(number('part') = 0, greatest(number('parts'), 1), number('parts')) AS parts,
    JSONExtract(data, 'complete', 'Nullable(Bool)') IS NOT DISTINCT FROM false AS partial
FROM whence_oracle.facts
WHERE type = 'scan.completed';

CREATE OR REPLACE TABLE whence_oracle.listed ENGINE = Memory AS
WITH
    (SELECT groupArray((alias, name)) FROM (SELECT alias, name FROM whence_oracle.canonical WHERE kind = 'service' UNION ALL SELECT '', '')) AS names,
    (name -> JSONExtractString(listing.1, name)) AS said,
    (name -> if(said(name) != '', said(name), JSONExtractString(data, name))) AS said_or_common
SELECT
    place, time, field, scan_id,
    listing.2 AS number,
    said('finding_id') AS finding_id,
    multiIf(said('status') IN ('accepted', 'remediated'), said('status'), 'opened') AS stage,
    if(said('service') != '', transform(said('service'), names.1, names.2, said('service')), service) AS of_service,
    said_or_common('environment') AS of_environment,
    said_or_common('repository') AS repository,
    said('revision_introduced') AS revision,
    ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(upper(said('first_seen')), 3, 'UTC')), 0) AS first_seen
FROM
(
    SELECT *, arrayJoin(arrayZip(JSONExtractArrayRaw(data, 'findings'), arrayEnumerate(JSONExtractArrayRaw(data, 'findings')))) AS listing
    FROM whence_oracle.scan_parts
);

-- R30: the scans of which all is known.
CREATE OR REPLACE TABLE whence_oracle.whole_scans ENGINE = Memory AS
SELECT p.field AS field, scan_id, max(p.time) AS over
FROM whence_oracle.scan_parts AS p
INNER JOIN
(
    SELECT field, scan_id, max(parts) AS parts
    FROM whence_oracle.scan_parts
    GROUP BY field, scan_id
) AS scan USING (field, scan_id)
GROUP BY field, scan_id
HAVING NOT max(p.partial) AND any(scan.parts) > 0 AND uniqExactIf(p.part, p.part <= scan.parts) = any(scan.parts);

-- R31: each listing is ended by the first whole scan of its tool and target after it that doesn't list the finding.
CREATE OR REPLACE TABLE whence_oracle.missed ENGINE = Memory AS
SELECT DISTINCT finding_id, over
FROM
(
    SELECT l.finding_id AS finding_id, l.place AS place, l.field AS field, min(w.over) AS over
    FROM (SELECT DISTINCT finding_id, place, time, field FROM whence_oracle.listed) AS l
    INNER JOIN whence_oracle.whole_scans AS w ON w.field = l.field
    WHERE w.over > l.time AND (l.finding_id, w.field, w.scan_id) NOT IN (SELECT finding_id, field, scan_id FROM whence_oracle.listed)
    GROUP BY finding_id, place, field
);

-- R25, and of R26 all that does not depend on an environment. A finding is closed in each of `closed`, whenever it began:
-- from what closes it until the first opening later than that, at a time at which nothing closes it.
CREATE OR REPLACE TABLE whence_oracle.findings ENGINE = Memory AS
SELECT
    finding_id,
    argMaxIf(f.service, f.place, f.service != '') AS service,
    argMaxIf(f.environment, f.place, f.environment != '') AS environment,
    argMaxIf(f.repository, f.place, f.repository != '') AS repository,
    argMaxIf(f.revision, f.place, f.revision != '') AS revision_introduced,
    coalesce(
        argMaxOrNullIf(f.first_seen, f.place, f.first_seen != 0),
        minOrNullIf(f.time, f.stage = 'opened'),
        min(f.time)) AS seen,
    groupUniqArrayIf(f.time, f.stage != 'opened') AS closings,
    arrayFilter(o -> NOT has(closings, o), groupUniqArrayIf(f.time, f.stage = 'opened')) AS openings,
    arrayMap(c -> (c, arrayMin(arrayPushBack(arrayFilter(o -> o > c, openings), 9223372036854775807))), closings) AS closed,
    arrayMin(arrayPushBack(arrayMap(c -> c.1, arrayFilter(c -> c.2 = 9223372036854775807, closed)), 9223372036854775807)) AS until,
    length(arrayDistinct(arrayMap(c -> c.2, arrayFilter(c -> c.2 != 9223372036854775807, closed)))) AS reopened
FROM
(
    SELECT
        (place, 0) AS place, time, replaceOne(type, 'finding.', '') AS stage, service, environment,
        JSONExtractString(data, 'finding_id') AS finding_id,
        JSONExtractString(data, 'repository') AS repository,
        JSONExtractString(data, 'revision_introduced') AS revision,
        ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, 'first_seen')), 3, 'UTC')), 0) AS first_seen
    FROM whence_oracle.facts
    WHERE startsWith(type, 'finding.')
    UNION ALL
    SELECT (place, number), time, stage, of_service, of_environment, finding_id, repository, revision, first_seen
    FROM whence_oracle.listed
    UNION ALL
    SELECT (0, 0), over, 'remediated', '', '', finding_id, '', '', 0
    FROM whence_oracle.missed
) AS f
GROUP BY finding_id;

-- R25: a finding is of its service; if it states none, of the services that list its repository, under whatever name.
-- R26: open from the completion in E of what brought the revision, else from when it was seen.
CREATE OR REPLACE TABLE whence_oracle.open_findings ENGINE = Memory AS
WITH
    (SELECT groupArray((alias, name)) FROM (SELECT alias, name FROM whence_oracle.canonical WHERE kind = 'repository' UNION ALL SELECT '', '')) AS names,
    r -> transform(r, names.1, names.2, r) AS meant,
placed AS
(
    SELECT finding_id, service FROM whence_oracle.findings WHERE service != ''
    UNION DISTINCT
    SELECT f.finding_id, r.service
    FROM whence_oracle.findings AS f
    INNER JOIN
    (
        SELECT service, meant(arrayJoin(JSONExtract(data, 'repositories', 'Array(String)'))) AS repository
        FROM whence_oracle.facts
        WHERE type = 'service.declared' AND service != ''
    ) AS r ON r.repository = meant(f.repository)
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
    if(b.revision != '', b.completed, f.seen) AS began,
    arrayJoin(arrayFilter(
        moment -> NOT arrayExists(c -> c.1 <= moment AND moment < c.2, f.closed),
        arrayDistinct(arrayPushBack(arrayFilter(end -> end > began AND end != 9223372036854775807, arrayMap(c -> c.2, f.closed)), began)))) AS since,
    arrayMin(arrayPushBack(arrayFilter(c -> c > since, f.closings), 9223372036854775807)) AS until
FROM whence_oracle.findings AS f
INNER JOIN placed AS p ON p.finding_id = f.finding_id
INNER JOIN whence_oracle.scopes AS s ON s.service = p.service
LEFT JOIN brought AS b
    ON b.service = s.service AND b.environment = s.environment AND b.revision = f.revision_introduced
WHERE f.environment IN ('', s.environment);
