-- Law 2, the figures: what the ledger says of each partition. Its batches are contiguous where nothing in troubles.sql
-- says otherwise, so `records` of [first, last) are all there were.
SELECT
    topic, partition,
    min(from_offset) AS first,
    max(to_offset) AS last,
    count() AS batches,
    sum(records) AS records,
    sum(stored) AS stored,
    sum(dead) AS dead,
    sum(dropped) AS dropped
FROM whence_state.batches FINAL
GROUP BY topic_id, topic, partition
ORDER BY topic, partition
FORMAT JSONEachRow
