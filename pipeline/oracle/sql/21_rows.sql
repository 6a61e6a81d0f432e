-- What the suspects say in every column. Rules of flags are compared as the engine reads JSON: the answer may have spelled
-- a number another way.
INSERT INTO whence_oracle.differences
SELECT {round}, 'observations', item, column.1, left(column.2, 1000), left(column.3, 1000), newer
FROM
(
    SELECT
        concat(source, ' ', id, ' ', environment, '/', stated_service, ' ', name, ' ', toString(fromUnixTimestamp64Milli(time, 'UTC'))) AS item,
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
        SELECT true AS here, * REPLACE (mapApply((flag, rules) -> (flag, JSONExtractRaw(rules)), flags) AS flags)
        FROM whence_oracle.expected
        WHERE row IN (SELECT row FROM whence_oracle.suspects)
    ) AS e
    FULL OUTER JOIN
    (
        SELECT
            true AS here, revision,
            CAST(source, 'String') AS source, id, CAST(service, 'String') AS stated_service, CAST(environment, 'String') AS environment,
            toUnixTimestamp64Milli(o.time) AS time, CAST(name, 'String') AS name,
            CAST(deployment_id, 'String') AS deployment_id, CAST(deployed_version, 'String') AS deployed_version,
            CAST(previous_version, 'String') AS previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids,
            mapApply((flag, rules) -> (CAST(flag, 'String'), JSONExtractRaw(rules)), flags) AS flags,
            incident_ids, CAST(incident_severity, 'String') AS incident_severity, finding_ids,
            CAST(owner, 'String') AS owner, CAST(tier, 'String') AS tier, CAST(canonical_service, 'String') AS canonical_service,
            experiments
        FROM whence.observations AS o FINAL
        WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= o.time AND o.time < fromUnixTimestamp64Milli({end}, 'UTC')
            AND sipHash128(o.source, o.id, o.service, o.environment, toUnixTimestamp64Milli(o.time), o.name)
                IN (SELECT row FROM whence_oracle.suspects)
    ) AS o USING (source, id, stated_service, environment, time, name)
)
ARRAY JOIN differing AS column;

-- Former states of rows that are gone. (A whole day that is gone was dropped by whoever keeps house.)
INSERT INTO whence_oracle.differences
SELECT DISTINCT
    {round}, 'observations',
    concat(source, ' ', id, ' ', environment, '/', service, ' ', name, ' ', toString(time)), 'row', 'its history', 'absent', false
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
