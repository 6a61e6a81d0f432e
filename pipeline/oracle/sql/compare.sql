-- Rows of whence.observations FINAL against whence_oracle.expected: for every column the number of rows that differ
-- and three of them with both values; for "row" the rows that only one side has, for "any column" those that differ in
-- one at least, with the first of them.
WITH
columns AS
(
    SELECT arrayJoin([
        'row', 'deployment_id', 'deployed_version', 'previous_version', 'deployment_age_ms', 'rollout_ids', 'rollout_percent',
        'change_ids', 'flags', 'incident_ids', 'incident_severity', 'finding_ids', 'owner', 'tier', 'canonical_service',
        'experiments', 'any column']) AS name
),
rows AS
(
    SELECT
        concat(source, ' ', id, ' ', environment, '/', stated_service, ' ', name, ' ',
            toString(fromUnixTimestamp64Milli(time, 'UTC'))) AS row,
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
    FROM (SELECT true AS here, * FROM whence_oracle.expected) AS e
    FULL OUTER JOIN
    (
        SELECT
            true AS here,
            CAST(source, 'String') AS source, id, CAST(service, 'String') AS stated_service, CAST(environment, 'String') AS environment,
            toUnixTimestamp64Milli(o.time) AS time, CAST(name, 'String') AS name,
            CAST(deployment_id, 'String') AS deployment_id, CAST(deployed_version, 'String') AS deployed_version,
            CAST(previous_version, 'String') AS previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids,
            mapApply((flag, rules) -> (CAST(flag, 'String'), JSONExtractRaw(rules)), flags) AS flags,
            incident_ids, CAST(incident_severity, 'String') AS incident_severity, finding_ids,
            CAST(owner, 'String') AS owner, CAST(tier, 'String') AS tier, CAST(canonical_service, 'String') AS canonical_service,
            experiments
        FROM whence.observations AS o FINAL
    ) AS o USING (source, id, stated_service, environment, time, name)
)
SELECT
    c.name AS column,
    countIf(d.row != '') AS differing,
    groupArrayIf(3)(CAST((d.row, d.expected, d.stored), 'Tuple(row String, expected String, stored String)'), d.row != '') AS examples
FROM columns AS c
LEFT JOIN
(
    SELECT row, column.1 AS name, column.2 AS expected, column.3 AS stored
    FROM rows
    ARRAY JOIN if(empty(differing) OR differing[1].1 = 'row', differing,
        arrayPushBack(differing, ('any column', differing[1].2, differing[1].3))) AS column
) AS d ON d.name = c.name
GROUP BY column
ORDER BY indexOf((SELECT groupArray(name) FROM columns), column)
FORMAT JSONEachRow
