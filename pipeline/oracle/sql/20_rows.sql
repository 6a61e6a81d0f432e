-- Rows of the span of which the two sides do not say the same, or that only one side has, by one hash of all columns: where
-- all is well there is none. `sides` adds up 1: expected, 2: stored, 4: a former state of it is stored. Equal hashes cancel out.
CREATE OR REPLACE TABLE whence_oracle.doubtful ENGINE = Memory AS
SELECT row
FROM
(
    SELECT row, cityHash64(answer) AS answer, 1 AS side
    FROM whence_oracle.answers
    UNION ALL
    SELECT
        sipHash128(o.source, o.id, o.service, o.environment, toUnixTimestamp64Milli(o.time), o.name),
        cityHash64(
        [
            cityHash64(deployment_id), cityHash64(deployed_version), cityHash64(previous_version),
            cityHash64(ifNull(toString(deployment_age_ms), '')), if(empty(rollout_ids), 0, cityHash64(rollout_ids)),
            cityHash64(rollout_percent), if(empty(change_ids), 0, cityHash64(change_ids)),
            if(empty(flags), 0, cityHash64(mapKeys(flags), mapValues(flags))),
            if(empty(incident_ids), 0, cityHash64(incident_ids)), cityHash64(incident_severity),
            if(empty(finding_ids), 0, cityHash64(finding_ids)), cityHash64(owner), cityHash64(tier), cityHash64(canonical_service),
            if(empty(experiments), 0, cityHash64(mapKeys(experiments), mapValues(experiments)))
        ]),
        2
    FROM whence.observations AS o FINAL
    WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
        AND cityHash64(service, environment, toStartOfMinute(time)) % 1000000 < {share}
    UNION ALL
    SELECT DISTINCT sipHash128(h.source, h.id, h.service, h.environment, toUnixTimestamp64Milli(h.time), h.name), 0, 4
    FROM whence.observations_history AS h
    WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= time AND time < fromUnixTimestamp64Milli({end}, 'UTC')
        AND cityHash64(service, environment, toStartOfMinute(time)) % 1000000 < {share}
)
GROUP BY row
HAVING bitAnd(groupBitOr(side), 3) != 3 OR groupBitXor(answer) != 0;

-- What they differ in is another question.
CREATE OR REPLACE TABLE whence_oracle.suspects (row FixedString(16), sides UInt8, newer Bool, columns Array(String)) ENGINE = Memory;
