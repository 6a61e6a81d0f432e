-- +goose Up

-- What people were told of rankings: one row a message about an effect. Before it is sent the message is here as pending,
-- so that who takes over knows that it may have been sent. What belongs together is told in one thread: an incident and
-- its alerts. A thread's place is where the target keeps it: the next message about it goes there.
CREATE TABLE IF NOT EXISTS whence_state.notices ON CLUSTER '{cluster}'
(
    target LowCardinality(String) COMMENT 'Who was told, by the name in the configuration',
    effect_kind LowCardinality(String) COMMENT 'incident, alert, breach, finding',
    effect_id String,
    message String COMMENT 'Key of the message: the same for one that is sent again',
    thread String COMMENT 'What it belongs to, as incident/INC-42',
    place String COMMENT 'Where the target keeps the thread, in its own words; empty: it has none',
    number UInt64 COMMENT 'Of the ranking that was told',
    leader_kind LowCardinality(String) COMMENT 'The cause that came first in it',
    leader_id String,
    probability Float64 COMMENT 'Of that cause, as told',
    told_at DateTime64(3, 'UTC'),
    opened UInt8 COMMENT '1: the message began its thread',
    summed UInt8 COMMENT '1: the message told of several effects',
    pending UInt8 COMMENT '1: it was about to be sent, and nobody has said since that it was',
    version UInt64 COMMENT 'The greatest of a message counts'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/notices', '{shard}-{replica}', version)
ORDER BY (target, effect_kind, effect_id, message)
SETTINGS index_granularity = 512
COMMENT 'What targets of notifications were told';

-- +goose Down

DROP TABLE IF EXISTS whence_state.notices ON CLUSTER '{cluster}' SYNC;
