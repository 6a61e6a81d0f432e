-- The entity tables against what was folded: the columns that differ, whichever there are, and the entities that only one
-- side has ("row"). `sides` adds up 1: expected, 2: stored, 4: gone since {at}. What was derived later may know better.
INSERT INTO whence_oracle.differences
WITH
    (raw -> multiIf(raw = '', 'absent', startsWith(raw, '"'), JSONExtractString(raw), raw)) AS plainly,
sides AS
(
    SELECT
        entity, key, groupBitOr(side) AS sides, max(s.revision) > {at} AS newer,
        anyIf(s.said, side = 1) AS expected, anyIf(s.said, side = 2) AS stored
    FROM
    (
        SELECT CAST(entity, 'String') AS entity, key, said, 1 AS side, toUInt64(0) AS revision FROM whence_oracle.folded
        UNION ALL
        {entities}
    ) AS s
    GROUP BY entity, key
    HAVING sides != 4 AND (bitAnd(sides, 3) != 3 OR expected != stored)
)
SELECT
    {round}, 'entities', concat(entity, ' ', arrayStringConcat(key, '/')) AS item, concat(entity, '.', value.2) AS column, newer, item,
    left(plainly(anyIf(value.3, value.1 = 1)) AS should, 1000), left(plainly(anyIf(value.3, value.1 = 2)) AS is, 1000)
FROM sides
ARRAY JOIN multiIf(
    bitAnd(sides, 1) = 0, [(1, 'row', 'absent'), (2, 'row', 'stored')],
    bitAnd(sides, 2) = 0, [(1, 'row', 'expected'), (2, 'row', 'absent')],
    arrayConcat(
        arrayMap(f -> (1, f.1, f.2), JSONExtractKeysAndValuesRaw(expected)),
        arrayMap(f -> (2, f.1, f.2), JSONExtractKeysAndValuesRaw(stored)))) AS value
GROUP BY entity, key, newer, value.2
HAVING should != is;
