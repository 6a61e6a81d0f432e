-- Law 2, the checks: no row where all is well. A topic that was made anew has another id and an account of its own;
-- rows of events know their topic's name only, so of a name that was used twice nothing can be said of them. `key` tells whether
-- two looks at a system at work see the same trouble: what is under way at one is done at the next.
WITH
ledger AS
(
    SELECT topic, topic_id, partition, from_offset, to_offset, records, stored, dead, dropped, observations
    FROM whence_state.batches FINAL
),
twice AS (SELECT topic FROM ledger GROUP BY topic HAVING uniqExact(topic_id) > 1),
-- Where the batch before ended; for the first, its own start.
steps AS
(
    SELECT *, lagInFrame(to_offset, 1, from_offset) OVER
        (PARTITION BY topic_id, partition ORDER BY from_offset, to_offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM ledger
),
letters AS
(
    SELECT topic_id, partition, any(topic) AS topic, count() AS letters
    FROM whence.dead_letters FINAL
    GROUP BY topic_id, partition
),
deaths AS
(
    SELECT topic_id, partition, any(topic) AS topic, sum(dead) AS deaths
    FROM ledger
    GROUP BY topic_id, partition
),
places AS
(
    SELECT 'facts' AS kept, topic, partition, offset FROM whence.facts FINAL
    UNION ALL
    SELECT 'observations', topic, partition, offset FROM whence.observations WHERE {from} <= time AND time < {to}
    UNION ALL
    SELECT 'other_events', topic, partition, offset FROM whence.other_events FINAL
    UNION ALL
    SELECT 'dead_letters', topic, partition, offset FROM whence.dead_letters FINAL
)
SELECT
    if(from_offset > before, 'gap', 'overlap') AS trouble, CAST(topic, 'String') AS topic, partition,
    format('a batch starts at {}, the one before ended at {}', toString(from_offset), toString(before)) AS detail,
    toString(from_offset) AS key
FROM steps
WHERE from_offset != before
UNION ALL
SELECT
    'sum', CAST(topic, 'String'), partition,
    format('[{}, {}): {} records, {} stored, {} dead, {} dropped', toString(from_offset), toString(to_offset),
        toString(records), toString(stored), toString(dead), toString(dropped)),
    toString(from_offset)
FROM ledger
WHERE records != stored + dead + dropped OR records > to_offset - from_offset OR from_offset >= to_offset
UNION ALL
SELECT
    'dead letters', CAST(if(d.topic = '', l.topic, d.topic), 'String'), partition,
    format('{} in the ledger, {} stored', toString(d.deaths), toString(l.letters)),
    ''
FROM deaths AS d
FULL OUTER JOIN letters AS l USING (topic_id, partition)
WHERE d.deaths != l.letters
UNION ALL
SELECT
    'unaccounted', CAST(p.topic, 'String'), p.partition,
    format('{} rows of {} come from records in no batch, the first of them offset {}',
        toString(count()), p.kept, toString(min(p.offset))),
    concat(p.kept, ' ', toString(min(p.offset)))
FROM places AS p
ASOF LEFT JOIN (SELECT topic, partition, from_offset, max(to_offset) AS to_offset FROM ledger GROUP BY topic, partition, from_offset) AS b
    ON b.topic = p.topic AND b.partition = p.partition AND b.from_offset <= p.offset
WHERE (p.offset >= b.to_offset OR b.topic = '') AND p.topic NOT IN twice
GROUP BY p.kept, p.topic, p.partition
UNION ALL
-- Fewer rows than were said are those that were said twice. A dead letter that was replayed has rows of a record that the
-- ledger has among the dead.
SELECT
    'too many', CAST(topic, 'String'), partition,
    format('[{}, {}): {} observations in the ledger, {} rows', toString(from_offset), toString(to_offset), toString(said), toString(rows)),
    toString(from_offset)
FROM
(
    SELECT b.topic AS topic, b.partition AS partition, b.from_offset AS from_offset, any(b.to_offset) AS to_offset, any(b.said) AS said, count() AS rows
    FROM (SELECT topic, partition, offset FROM whence.observations FINAL WHERE {from} <= time AND time < {to}
        AND (topic, partition, offset) NOT IN (SELECT topic, partition, offset FROM whence.dead_letters)) AS o
    ASOF INNER JOIN
    (
        SELECT topic, partition, from_offset, max(to_offset) AS to_offset, sum(observations) AS said
        FROM ledger
        GROUP BY topic, partition, from_offset
    ) AS b ON b.topic = o.topic AND b.partition = o.partition AND b.from_offset <= o.offset
    WHERE o.offset < b.to_offset AND o.topic NOT IN twice
    GROUP BY topic, partition, from_offset
    HAVING rows > said
)
FORMAT JSONEachRow
