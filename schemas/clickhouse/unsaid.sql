-- unsaid: one row an event that some retraction names, marked where none that counts does.
--
-- A retraction can be unsaid too, by a later one that is not unsaid itself (later by time, source, id, hash). So they are
-- gone through from the last to the first, and each counts unless a later one that counts has named it. Only those that
-- name retractions, or are named by one, need this: the others count.
INSERT INTO whence_state.unsaid
WITH
    said AS
    (
        SELECT retracted_source, retracted_id, toString(source) AS by_source, id AS by_id, time, content_hash
        FROM whence_state.retractions FINAL
        WHERE (source, id, 'io.whence.fact.retracted', content_hash)
            NOT IN (SELECT source, id, type, lost_hash FROM whence.conflicts)
    ),
    named AS (SELECT retracted_source, retracted_id FROM said),
    naming AS (SELECT by_source, by_id FROM said),
    counted AS
    (
        SELECT retracted_source, retracted_id
        FROM said
        WHERE (by_source, by_id) NOT IN named AND (retracted_source, retracted_id) NOT IN naming
        UNION ALL
        SELECT target.1, target.2
        FROM
        (
            SELECT arrayJoin(arrayFold(
                (unsaid, retraction) -> if(has(unsaid, retraction.1), unsaid, arrayPushBack(unsaid, retraction.2)),
                arrayMap(r -> (r.5, r.6), arrayReverseSort(r -> (r.1, r.2, r.3, r.4), groupArray(
                    (time, by_source, by_id, content_hash, (by_source, by_id), (retracted_source, retracted_id))))),
                CAST([], 'Array(Tuple(String, String))'))) AS target
            FROM said
            WHERE (by_source, by_id) IN named OR (retracted_source, retracted_id) IN naming
        )
    )
SELECT DISTINCT
    retracted_source AS source,
    retracted_id AS id,
    {revision} AS revision,
    (retracted_source, retracted_id) NOT IN counted AS is_deleted
FROM whence_state.retractions
