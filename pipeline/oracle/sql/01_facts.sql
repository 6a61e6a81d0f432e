-- What was said. What the oracle knows comes from whence.events, and no table that the pipeline derives is read here. Only
-- where a fact was said anew since the revision {at}, its contents of before come from where all of them are kept.
--
-- Conventions of all these files: times are Int64 milliseconds since 1970 (UTC), intervals are half open, and
-- `9223372036854775807` is "never", `-9223372036854775808` "since ever". A table called ..._since holds one row for each
-- moment at which something changes; what holds at t is its row with the greatest `since` at or before t, which is what
-- ASOF JOIN finds. Each of its rows is computed naively, from all that concerns its key, with the rule's own condition.
-- R1 ... R31 are the numbered rules of processors/timeline/doc.go. The database whence_oracle has another name in each run.
-- Files 0. are of all time, and run once; files 1. are of a span of observations, {start} to {end}, and run for each; files 3.
-- are of the entity tables.

-- R1: one content an identity, that of the greatest hash. R2: the total order, as a number: place.
CREATE OR REPLACE TABLE whence_oracle.all_facts ENGINE = Memory AS
WITH events AS
(
    SELECT source, id, type, content_hash, time, data, revision
    FROM whence.events
    WHERE startsWith(type, 'io.whence.') AND type NOT IN
    (
        'io.whence.behavior.recorded', 'io.whence.service.measured', 'io.whence.error.occurred',
        'io.whence.experiment.assigned', 'io.whence.experiment.exposed', 'io.whence.user.identified'
    )
)
SELECT
    row_number() OVER (ORDER BY time, source, id, content_hash) AS place,
    source, id, type, content_hash, toUnixTimestamp64Milli(time) AS time, data
FROM
(
    SELECT
        source, id, type,
        max(said.content_hash) AS content_hash,
        argMax((said.time, said.data), said.content_hash) AS kept,
        kept.1 AS time,
        kept.2 AS data
    FROM
    (
        SELECT CAST(source, 'String') AS source, id, CAST(type, 'String') AS type, content_hash, time, data
        FROM events
        WHERE revision <= {at}
        UNION ALL
        SELECT CAST(source, 'String'), id, CAST(type, 'String'), content_hash, time, data
        FROM whence_state.fact_contents
        WHERE revision <= {at} AND (source, id, type) IN (SELECT source, id, type FROM events WHERE revision > {at})
    ) AS said
    GROUP BY source, id, type
);

-- R3: retractions from the last to the first; one that a later one unsays has no effect. Quadratic in the number of
-- retractions: meant for thousands.
CREATE OR REPLACE TABLE whence_oracle.unsaid ENGINE = Memory AS
WITH
(
    SELECT arrayMap(r -> (r.2, r.3, r.4, r.5), arrayReverseSort(groupArray(
        (place, source, id, JSONExtractString(data, 'retracts', 'source'), JSONExtractString(data, 'retracts', 'id')))))
    FROM whence_oracle.all_facts
    WHERE type = 'io.whence.fact.retracted'
) AS last_to_first
SELECT DISTINCT target.1 AS source, target.2 AS id
FROM
(
    SELECT arrayJoin(arrayFold(
        (gone, r) -> if(has(gone, (r.1, r.2)), gone, arrayPushBack(gone, (r.3, r.4))),
        last_to_first,
        CAST([], 'Array(Tuple(String, String))'))) AS target
);

CREATE OR REPLACE TABLE whence_oracle.counted ENGINE = Memory AS
SELECT place, time, substring(type, length('io.whence.') + 1) AS type, source, id, content_hash, data
FROM whence_oracle.all_facts
WHERE (source, id) NOT IN (SELECT source, id FROM whence_oracle.unsaid) AND type != 'io.whence.fact.retracted';
