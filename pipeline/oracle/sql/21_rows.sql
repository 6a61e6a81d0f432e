-- The columns in which each doubtful row differs. {at} is the revision of what was computed: a row of a later one may know
-- better.
INSERT INTO whence_oracle.suspects
WITH ['deployment_id', 'deployed_version', 'previous_version', 'deployment_age_ms', 'rollout_ids', 'rollout_percent', 'change_ids', 'flags',
    'incident_ids', 'incident_severity', 'finding_ids', 'owner', 'tier', 'canonical_service', 'experiments'] AS names
SELECT
    row, groupBitOr(side) AS sides, max(revision) > {at} AS newer,
    if(bitAnd(sides, 3) != 3, ['row'], arrayFilter((name, expected, stored) -> expected != stored, names,
        anyIf(answer, side = 1) AS expected, if(empty(anyIf(answer, side = 2) AS stored), expected, stored))) AS columns
FROM
(
    SELECT row, answer, 1 AS side, toUInt64(0) AS revision
    FROM whence_oracle.answers
    WHERE row IN (SELECT row FROM whence_oracle.doubtful)
    UNION ALL
    SELECT
        sipHash128(o.source, o.id, o.service, o.environment, toUnixTimestamp64Milli(o.time), o.name),
        [
            cityHash64(deployment_id), cityHash64(deployed_version), cityHash64(previous_version),
            cityHash64(ifNull(toString(deployment_age_ms), '')), if(empty(rollout_ids), 0, cityHash64(rollout_ids)),
            cityHash64(rollout_percent), if(empty(change_ids), 0, cityHash64(change_ids)),
            if(empty(flags), 0, cityHash64(mapKeys(flags), mapValues(flags))),
            if(empty(incident_ids), 0, cityHash64(incident_ids)), cityHash64(incident_severity),
            if(empty(finding_ids), 0, cityHash64(finding_ids)), cityHash64(owner), cityHash64(tier), cityHash64(canonical_service),
            if(empty(experiments), 0, cityHash64(mapKeys(experiments), mapValues(experiments)))
        ],
        2, o.revision
    FROM whence.observations AS o FINAL
    WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
        AND sipHash128(o.source, o.id, o.service, o.environment, toUnixTimestamp64Milli(o.time), o.name) IN (SELECT row FROM whence_oracle.doubtful)
    UNION ALL
    SELECT DISTINCT
        sipHash128(h.source, h.id, h.service, h.environment, toUnixTimestamp64Milli(h.time), h.name), [], 4, toUInt64(0)
    FROM whence.observations_history AS h
    WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
        AND sipHash128(h.source, h.id, h.service, h.environment, toUnixTimestamp64Milli(h.time), h.name) IN (SELECT row FROM whence_oracle.doubtful)
)
GROUP BY row
HAVING notEmpty(columns);

-- What the suspects differ in. A row that only its history has may be of a day that was dropped by whoever keeps house.
INSERT INTO whence_oracle.differences (round, area, item, column, newer)
SELECT {round}, 'observations', hex(row), arrayJoin(columns), newer
FROM whence_oracle.suspects
WHERE sides != 4;

-- The few that are shown: of each column three, of those that differed before too.
CREATE OR REPLACE TABLE whence_oracle.shown ENGINE = Memory AS
SELECT DISTINCT row
FROM
(
    SELECT row, column
    FROM whence_oracle.suspects
    ARRAY JOIN columns AS column
    WHERE sides != 4 AND NOT newer
        AND ({round} = 1 OR (hex(row), column) IN (SELECT item, column FROM whence_oracle.differences WHERE area = 'observations' AND round = {round} - 1))
    ORDER BY row
    LIMIT 3 BY column
);

INSERT INTO whence_oracle.differences
SELECT {round}, 'observations', item, column.1, newer, label, left(column.2, 1000), left(column.3, 1000)
FROM
(
    SELECT
        hex(sipHash128(source, id, stated_service, environment, time, name)) AS item,
        concat(source, ' ', id, ' ', environment, '/', stated_service, ' ', name, ' ', toString(fromUnixTimestamp64Milli(time, 'UTC'))) AS label,
        ifNull(o.revision > {at}, false) AS newer,
        multiIf(
            NOT e.here, [('row', 'absent', 'stored')],
            NOT o.here, [('row', 'expected', 'absent')],
            arrayFilter(c -> c.2 != c.3, [
                ('deployment_id', e.deployment_id, o.deployment_id),
                ('deployed_version', e.deployed_version, o.deployed_version),
                ('previous_version', e.previous_version, o.previous_version),
                ('deployment_age_ms', ifNull(toString(e.deployment_age_ms), 'null'), ifNull(toString(o.deployment_age_ms), 'null')),
                ('rollout_ids', toString(e.rollout_ids), toString(o.rollout_ids)),
                ('rollout_percent', toString(e.rollout_percent), toString(o.rollout_percent)),
                ('change_ids', toString(e.change_ids), toString(o.change_ids)),
                ('flags', toString(e.flags), toString(o.flags)),
                ('incident_ids', toString(e.incident_ids), toString(o.incident_ids)),
                ('incident_severity', e.incident_severity, o.incident_severity),
                ('finding_ids', toString(e.finding_ids), toString(o.finding_ids)),
                ('owner', e.owner, o.owner),
                ('tier', e.tier, o.tier),
                ('canonical_service', e.canonical_service, o.canonical_service),
                ('experiments', toString(e.experiments), toString(o.experiments))])) AS differing
    FROM
    (
        SELECT true AS here, * FROM whence_oracle.expected WHERE row IN (SELECT row FROM whence_oracle.shown)
    ) AS e
    FULL OUTER JOIN
    (
        SELECT
            true AS here, revision,
            CAST(source, 'String') AS source, id, CAST(service, 'String') AS stated_service, CAST(environment, 'String') AS environment,
            toUnixTimestamp64Milli(o.time) AS time, CAST(name, 'String') AS name,
            CAST(deployment_id, 'String') AS deployment_id, CAST(deployed_version, 'String') AS deployed_version,
            CAST(previous_version, 'String') AS previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids,
            flags, incident_ids, CAST(incident_severity, 'String') AS incident_severity, finding_ids,
            CAST(owner, 'String') AS owner, CAST(tier, 'String') AS tier, CAST(canonical_service, 'String') AS canonical_service,
            experiments
        FROM whence.observations AS o FINAL
        WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= o.time AND o.time < fromUnixTimestamp64Milli({end}, 'UTC')
            AND sipHash128(o.source, o.id, o.service, o.environment, toUnixTimestamp64Milli(o.time), o.name)
                IN (SELECT row FROM whence_oracle.shown)
    ) AS o USING (source, id, stated_service, environment, time, name)
)
ARRAY JOIN differing AS column;

-- Former states of rows that are gone. (A whole day that is gone was dropped by whoever keeps house.)
INSERT INTO whence_oracle.differences
SELECT DISTINCT
    {round}, 'observations', hex(sipHash128(h.source, h.id, h.service, h.environment, toUnixTimestamp64Milli(h.time), h.name)), 'row', false,
    concat(source, ' ', id, ' ', environment, '/', service, ' ', name, ' ', toString(time)), 'its history', 'absent'
FROM whence.observations_history AS h
WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
    AND sipHash128(h.source, h.id, h.service, h.environment, toUnixTimestamp64Milli(h.time), h.name)
        IN (SELECT row FROM whence_oracle.suspects WHERE sides = 4)
    AND toDate(time) IN
    (
        SELECT DISTINCT toDate(time)
        FROM whence.observations
        WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
    );
