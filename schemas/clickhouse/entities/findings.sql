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
        SELECT tool, target, scan_id, over, row_number() OVER (PARTITION BY tool, target ORDER BY over, scan_id) AS nth
        FROM
        (
            SELECT tool, target, scan_id, max(time) AS over, max(parts) AS parts, groupUniqArray(part) AS known, max(partial) AS partial
            FROM (SELECT * FROM whence_state.listed_facts WHERE entity_id IN (SELECT entity_id FROM whence_state.listed_in WHERE finding_id IN ({touched})) AND finding_id = '' AND number = 0)
            WHERE live
            GROUP BY tool, target, scan_id
        )
        WHERE NOT partial AND parts > 0 AND arrayCount(p -> p <= parts, known) = parts
    ),
    -- A lambda that uses an array has a copy of it for each element, and a finding has hundreds of sightings and scans: so
    -- lists are merged instead. both: each whole scan, with a 1 behind it where it lists the finding; missing: those with
    -- none. turns: what misses it (0) and what sees it (1), by time; the first miss after a sighting is one that counts.
    missed AS
    (
        WITH
            arraySort(arrayConcat(scans, listing)) AS both,
            arrayMap(s -> (s.1, 0), arrayFilter(
                (s, next) -> s.3 = 0 AND NOT (next.2 = s.2 AND next.3 = 1), both, arrayPushBack(arrayPopFront(both), (never, toUInt64(0), 0)))) AS missing,
            arraySort(arrayConcat(missing, sightings)) AS turns
        SELECT
            finding_id,
            arrayDistinct(arrayFlatten(groupArray(arrayMap(t -> t.1, arrayFilter(
                (t, before) -> t.2 = 0 AND before.2 = 1, turns, arrayPushFront(arrayPopBack(turns), (never, 0))))))) AS gone
        FROM
        (
            SELECT finding_id, tool, target, groupUniqArray((time, 1)) AS sightings, groupUniqArrayIf((over, nth, 1), nth > 0) AS listing
            FROM (SELECT finding_id, tool, target, scan_id, time FROM listed WHERE live) AS sighted
            LEFT JOIN whole ON whole.tool = sighted.tool AND whole.target = sighted.target AND whole.scan_id = sighted.scan_id
            GROUP BY finding_id, tool, target
        ) AS seen
        INNER JOIN (SELECT tool, target, groupArray((over, nth, 0)) AS scans FROM whole GROUP BY tool, target) AS all_whole
            ON all_whole.tool = seen.tool AND all_whole.target = seen.target
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
        (field -> argMaxIf(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, field)), 3, 'UTC'), ord, JSONExtractString(data, field) != '')) AS moment
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
