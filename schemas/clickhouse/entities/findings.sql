-- findings: one row a finding. What scans list is said as if by facts of the finding, and so is what they miss (R30, R31).
INSERT INTO whence.findings
WITH
    toDateTime64('2299-12-31 23:59:59', 3, 'UTC') AS never,
    listed AS
    (
        SELECT *
        FROM whence_state.listed_facts
        WHERE entity_id IN (SELECT entity_id FROM whence_state.listed_in WHERE finding_id IN ({touched})) AND number > 0 AND finding_id IN ({touched})
    ),
    whole AS
    (
        SELECT tool, target, arraySort(groupArray((over, scan_id))) AS scans
        FROM
        (
            SELECT tool, target, scan_id, max(time) AS over, max(parts) AS parts, groupUniqArray(part) AS known, max(partial) AS partial
            FROM (SELECT * FROM whence_state.listed_facts WHERE entity_id IN (SELECT entity_id FROM whence_state.listed_in WHERE finding_id IN ({touched})) AND finding_id = '' AND number = 0)
            WHERE live
            GROUP BY tool, target, scan_id
        )
        WHERE NOT partial AND parts > 0 AND arrayCount(p -> p <= parts, known) = parts
        GROUP BY tool, target
    ),
    missed AS
    (
        SELECT
            finding_id,
            arrayDistinct(arrayFlatten(groupArray(arrayMap(
                moment -> arrayMin(arrayPushBack(arrayFilter(over -> over > moment, arrayMap(scan -> scan.1, arrayFilter(scan -> NOT has(listing, scan.2), scans))), never)),
                sightings)))) AS gone
        FROM (SELECT finding_id, tool, target, groupUniqArray(time) AS sightings, groupUniqArray(scan_id) AS listing FROM listed WHERE live GROUP BY finding_id, tool, target) AS seen
        INNER JOIN whole ON whole.tool = seen.tool AND whole.target = seen.target
        GROUP BY finding_id
    )
SELECT
    finding_id, kind, rule, severity, service, environment, artifact, repository, revision_introduced, revision_fixed, control,
    first_seen, due_at, evidence_url, opened_at, last_seen_at, closed_at,
    length(arrayDistinct(arrayFilter(end -> end != never, arrayMap(c -> arrayMin(arrayPushBack(arrayFilter(o -> o > c, openings), never)), closings)))) AS reopened,
    if(closed_at IS NULL, 'open', if(notEmpty(arrayFilter(c -> c.1.1.1 = closed_at, closed) AS then), arrayMin(then).2, 'remediated')) AS state,
    sightings, facts, last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM
(
    WITH
        argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
        (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
        (field -> argMaxIf(parseDateTime64BestEffortOrNull(JSONExtractString(data, field), 3, 'UTC'), ord, JSONExtractString(data, field) != '')) AS moment
    SELECT
        finding_id,
        said('kind') AS kind,
        said('rule') AS rule,
        said('severity') AS severity,
        said('service') AS service,
        said('environment') AS environment,
        said('artifact') AS artifact,
        said('repository') AS repository,
        said('revision_introduced') AS revision_introduced,
        said('revision_fixed') AS revision_fixed,
        said('control') AS control,
        moment('first_seen') AS first_seen,
        moment('due_at') AS due_at,
        said('evidence_url') AS evidence_url,
        minOrNullIf(time, live AND status = 'opened') AS opened_at,
        maxOrNullIf(time, live AND status = 'opened') AS last_seen_at,
        groupArrayIf((ord, status), live AND status != 'opened') AS closed,
        arrayDistinct(arrayConcat(arrayMap(c -> c.1.1.1, closed), arrayFilter(over -> over != never, any(gone)))) AS closings,
        arrayFilter(o -> NOT has(closings, o), groupUniqArrayIf(time, live AND status = 'opened')) AS openings,
        nullIf(arrayMin(arrayPushBack(arrayFilter(c -> NOT arrayExists(o -> o > c, openings), closings), never)), never) AS closed_at,
        countIf(live AND number > 0) AS sightings,
        countIf(live) AS facts,
        last
    FROM
    (
        SELECT finding_id, (ord, number) AS ord, number, status, live, data, source, id, type, time, received_at, topic, partition, offset
        FROM listed
        UNION ALL
        SELECT entity_id, (ord, toUInt32(0)), toUInt32(0), replaceOne(type, 'io.whence.finding.', ''), live, data, source, id, type, time, received_at, topic, partition, offset
        FROM whence_state.entity_facts
        WHERE entity_kind = 'finding' AND entity_id IN ({touched})
    ) AS said_of
    LEFT JOIN missed USING (finding_id)
    GROUP BY finding_id
)
