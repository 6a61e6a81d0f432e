-- +goose Up

-- Records of which the operator's rules have left nothing. stored + dead + dropped = records.
ALTER TABLE whence_state.batches ADD COLUMN IF NOT EXISTS dropped UInt64 COMMENT 'Records that the operator''s own rules do not want' AFTER dead;

-- What became of a dead letter that was taken through the pipeline again. A row comes after the letter's own rows are
-- stored: a letter whose replay was killed in between is open, and is replayed again with the same result.
CREATE TABLE IF NOT EXISTS whence.dead_letter_replays
(
    topic LowCardinality(String),
    topic_id UUID,
    partition Int32,
    offset Int64,
    outcome LowCardinality(String) COMMENT 'stored, dropped, or dead: it still can not be taken',
    reason LowCardinality(String) COMMENT 'Class of the reason, where it is dead',
    detail String COMMENT 'What and where, for a person',
    replayed_at DateTime64(3, 'UTC') COMMENT 'The last replay counts'
)
ENGINE = ReplacingMergeTree(replayed_at)
ORDER BY (topic_id, partition, offset)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'What became of dead letters that were replayed. Read it with FINAL';

-- The dead letters that nobody has made good yet.
CREATE OR REPLACE VIEW whence.open_dead_letters AS
SELECT *
FROM whence.dead_letters FINAL
WHERE (topic_id, partition, offset) NOT IN
(
    SELECT topic_id, partition, offset
    FROM whence.dead_letter_replays FINAL
    WHERE outcome != 'dead'
);

-- +goose Down

DROP VIEW IF EXISTS whence.open_dead_letters;
DROP TABLE IF EXISTS whence.dead_letter_replays;
ALTER TABLE whence_state.batches DROP COLUMN IF EXISTS dropped;
