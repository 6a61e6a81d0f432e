-- conflicts: one row a content that lost, among the contents of the touched identities.
INSERT INTO whence.conflicts
WITH
    touched AS (SELECT source, id, type, content_hash, entity_kind, entity_id FROM whence_state.identities WHERE (source, id) IN ({touched})),
    twins AS (SELECT source, id, type FROM touched GROUP BY source, id, type HAVING uniqExact(content_hash) > 1)
SELECT
    source, id, type, kept.2 AS time,
    kept.1 AS kept_hash, lost.1 AS lost_hash,
    kept.3 AS kept_data, lost.3 AS lost_data,
    lost.2 AS lost_time, lost.4 AS revision, lost.5 AS received_at, lost.6 AS topic, lost.7 AS partition, lost.8 AS offset
FROM
(
    SELECT
        source, id, type,
        arraySort(c -> c.1, groupArray((content_hash, time, data, revision, received_at, topic, partition, offset))) AS contents,
        contents[-1] AS kept,
        arrayJoin(arrayPopBack(contents)) AS lost
    FROM whence_state.fact_contents FINAL
    WHERE (entity_kind, entity_id) IN (SELECT entity_kind, entity_id FROM touched WHERE (source, id, type) IN twins)
        AND (source, id, type) IN twins
    GROUP BY source, id, type
)
