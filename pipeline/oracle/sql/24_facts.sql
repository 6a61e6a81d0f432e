-- The table of facts against all contents that were ever said: of each identity the greatest, up to the revision {at}.
INSERT INTO whence_oracle.differences
SELECT
    {round}, 'facts', concat(source, ' ', id, ' ', type) AS item, if(sides = 3, 'content_hash', 'row'), false, item,
    multiIf(bitAnd(sides, 1) = 0, 'absent', sides = 3, toString(expected), 'expected'),
    multiIf(bitAnd(sides, 2) = 0, 'absent', sides = 3, toString(stored), 'stored')
FROM
(
    SELECT
        source, id, type, groupBitOr(side) AS sides, max(content_hash * (side = 1)) AS expected,
        max(content_hash * (side = 2)) AS stored, max(said.revision * (side = 2)) AS revision
    FROM
    (
        SELECT CAST(source, 'String') AS source, id, CAST(type, 'String') AS type, content_hash, revision, 1 AS side
        FROM whence_state.fact_contents
        WHERE revision <= {at}
        UNION ALL
        SELECT CAST(source, 'String'), id, CAST(type, 'String'), content_hash, revision, 2
        FROM whence.facts FINAL
    ) AS said
    GROUP BY source, id, type
    HAVING (sides != 3 OR expected != stored) AND revision <= {at}
);
