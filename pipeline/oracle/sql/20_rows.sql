-- Rows of the span whose hash differs from that of the answer, and those that only one side has: none where all is well,
-- so what they say is looked at afterwards, of them alone. `sides` adds up 1: expected, 2: stored, 4: a former state of it
-- is stored. {at} is the revision of what was computed: a row of a later one may know better.
CREATE OR REPLACE TABLE whence_oracle.suspects ENGINE = Memory AS
SELECT row, groupBitOr(side) AS sides, max(revision) > {at} AS newer
FROM
(
    SELECT row, answer, 1 AS side, toUInt64(0) AS revision
    FROM whence_oracle.answers
    UNION ALL
    SELECT
        sipHash128(o.source, o.id, o.service, o.environment, toUnixTimestamp64Milli(o.time), o.name),
        sipHash128((deployment_id, deployed_version, previous_version, ifNull(toString(deployment_age_ms), ''), rollout_ids,
            rollout_percent, change_ids, mapKeys(flags), mapValues(flags), incident_ids, incident_severity, finding_ids, owner,
            tier, canonical_service, mapKeys(experiments), mapValues(experiments))),
        2, o.revision
    FROM whence.observations AS o FINAL
    WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
        AND cityHash64(service, environment, toStartOfMinute(time)) % 1000000 < {share}
    UNION ALL
    SELECT DISTINCT
        sipHash128(h.source, h.id, h.service, h.environment, toUnixTimestamp64Milli(h.time), h.name), toFixedString('', 16), 4, toUInt64(0)
    FROM whence.observations_history AS h
    WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
        AND cityHash64(service, environment, toStartOfMinute(time)) % 1000000 < {share}
)
GROUP BY row
HAVING bitAnd(sides, 3) != 3 OR anyIf(answer, side = 1) != anyIf(answer, side = 2);
