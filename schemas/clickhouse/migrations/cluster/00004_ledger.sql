-- +goose Up

-- One row a record that could not be taken, with its original bytes, the reason and the place it came from.
-- A record's place is its key, so that a batch written twice counts once. Partitioned by month of arrival: old letters
-- are dropped by the month.
CREATE TABLE IF NOT EXISTS whence_state.dead_letters_shard ON CLUSTER '{cluster}'
(
    reason LowCardinality(String) COMMENT 'Class of the reason: malformed, missing_field, ...',
    detail String COMMENT 'What and where, for a person',
    source String COMMENT 'What could be read of the envelope; empty: nothing',
    id String,
    type String,
    time Nullable(DateTime64(3, 'UTC')) COMMENT 'Event time; null: none that could be read',
    key Nullable(String) COMMENT 'The record''s key, bytes',
    value Nullable(String) COMMENT 'The record''s value, bytes; null: it had none' CODEC(ZSTD(1)),
    headers Map(String, String) COMMENT 'The record''s headers, in order, keys may repeat',
    received_at DateTime64(3, 'UTC') COMMENT 'When Kafka took it',
    topic LowCardinality(String) COMMENT 'Where it came from',
    topic_id UUID COMMENT 'Kafka''s id of that topic: a topic made anew has another',
    partition Int32,
    offset Int64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/whence/dead_letters', '{replica}')
PARTITION BY toYYYYMM(received_at)
ORDER BY (topic_id, partition, offset)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800
COMMENT 'Records that could not be taken, whole, with the reason. Read it with FINAL';

-- The table over the shards: what reads and writes go through.
CREATE TABLE IF NOT EXISTS whence.dead_letters ON CLUSTER '{cluster}' AS whence_state.dead_letters_shard
ENGINE = Distributed('{cluster}', whence_state, dead_letters_shard, cityHash64(topic_id, partition, offset));

-- One row a batch of records [from_offset, to_offset) whose rows are all stored. The rows of a partition are
-- contiguous: that proves from the data alone that nothing was lost. stored + dead = records.
-- What was known at a moment is told by written_at, so of a batch that is entered twice (in doubt, by who takes over from
-- a worker that died before its commit) the first entry stays: a later one would take back what was known in between.
CREATE TABLE IF NOT EXISTS whence_state.batches ON CLUSTER '{cluster}'
(
    topic LowCardinality(String),
    topic_id UUID,
    partition Int32,
    from_offset Int64,
    to_offset Int64 COMMENT 'Exclusive',
    records UInt64 COMMENT 'That were there: a log may have gaps',
    stored UInt64 COMMENT 'Records that brought events',
    dead UInt64 COMMENT 'Records among the dead letters',
    facts UInt64 COMMENT 'Events; a record may bring several',
    observations UInt64,
    others UInt64,
    hash UInt64 COMMENT 'Of the records'' raw bytes',
    revision UInt64 COMMENT 'That the observations were enriched at',
    written_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When they were all stored, by the server''s clock',
    first_written UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(written_at))) COMMENT 'Greatest for the earliest entry'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/batches', '{shard}-{replica}', first_written)
ORDER BY (topic_id, partition, from_offset, to_offset)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800
COMMENT 'Ledger of the batches that are stored';

-- One row an incarnation of the context topic. Epochs are handed out by compare and swap: an INSERT of epoch n carries
-- the token "epochs|n", so of two workers that want n at the same moment one is heard.
CREATE TABLE IF NOT EXISTS whence_state.epochs ON CLUSTER '{cluster}'
(
    epoch UInt64,
    topic_id UUID,
    seen_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/whence_state/epochs', '{shard}-{replica}')
ORDER BY epoch
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800
COMMENT 'Incarnations of the context topic: the upper bits of a revision';

-- +goose Down

DROP TABLE IF EXISTS whence_state.epochs ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.batches ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence.dead_letters ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.dead_letters_shard ON CLUSTER '{cluster}' SYNC;
