-- +goose Up

-- A view over observations that must count each record once leaves out what is only said again.
ALTER TABLE whence_state.observations_shard ON CLUSTER '{cluster}' ADD COLUMN IF NOT EXISTS
    rewritten UInt8 COMMENT '1: written again, by a correction, a rebuild or a replay; 0: as it was first stored' CODEC(ZSTD(1))
    AFTER revision;

-- The same for the table over the shards, which has no codecs of its own.
ALTER TABLE whence.observations ON CLUSTER '{cluster}' ADD COLUMN IF NOT EXISTS
    rewritten UInt8 COMMENT '1: written again, by a correction, a rebuild or a replay; 0: as it was first stored'
    AFTER revision;

-- One row a former state of an observation: Replacing forgets after a merge what a correction has superseded, so it is
-- copied here before. What the observation itself says does not change and stays with it. A copy made twice is one row.
CREATE TABLE IF NOT EXISTS whence_state.observations_history_shard ON CLUSTER '{cluster}'
(
    source LowCardinality(String),
    id String CODEC(ZSTD(1)),
    time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    name LowCardinality(String),
    service LowCardinality(String),
    environment LowCardinality(String),
    content_hash UInt64 COMMENT 'Of the event as published' CODEC(NONE),
    deployment_id LowCardinality(String) COMMENT 'This and what follows: as the row said it at this revision',
    deployed_version LowCardinality(String),
    previous_version LowCardinality(String),
    deployment_age_ms Nullable(Int64) CODEC(ZSTD(1)),
    rollout_ids Array(String) CODEC(ZSTD(1)),
    rollout_percent Float64 CODEC(ZSTD(1)),
    change_ids Array(String) CODEC(ZSTD(1)),
    flags Map(String, String) CODEC(ZSTD(1)),
    incident_ids Array(String) CODEC(ZSTD(1)),
    incident_severity LowCardinality(String),
    finding_ids Array(String) CODEC(ZSTD(1)),
    owner LowCardinality(String),
    tier LowCardinality(String),
    canonical_service LowCardinality(String),
    experiments Map(String, String) CODEC(ZSTD(1)),
    revision UInt64 COMMENT 'How much was known then' CODEC(ZSTD(1)),
    superseded_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was copied, by the server''s clock' CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/whence/observations_history', '{replica}')
PARTITION BY toDate(time)
PRIMARY KEY (service, environment, toStartOfMinute(time), name)
ORDER BY (service, environment, toStartOfMinute(time), name, time, source, id, content_hash, revision)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, min_bytes_for_wide_part = 67108864
COMMENT 'What observations said before they were corrected. Read it with FINAL';

-- The table over the shards: what reads and writes go through.
CREATE TABLE IF NOT EXISTS whence.observations_history ON CLUSTER '{cluster}' AS whence_state.observations_history_shard
ENGINE = Distributed('{cluster}', whence_state, observations_history_shard, cityHash64(source, id));

-- What a correction writes, while it runs: the context of a service, as observations state its name, in an environment
-- from a moment on. A run is one correction; its partition goes when it has ended.
CREATE TABLE IF NOT EXISTS whence_state.contexts ON CLUSTER '{cluster}'
(
    run UInt64,
    service String,
    environment String,
    since DateTime64(3, 'UTC'),
    until DateTime64(3, 'UTC') COMMENT 'The last moment that the run speaks of',
    deployment_id String,
    deployed_version String,
    previous_version String,
    started_at Nullable(DateTime64(3, 'UTC')),
    rollout_ids Array(String),
    rollout_percent Float64,
    change_ids Array(String),
    flags Map(String, String),
    incident_ids Array(String),
    incident_severity String,
    finding_ids Array(String),
    owner String,
    tier String,
    canonical_service String,
    written_at DateTime DEFAULT now()
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/whence_state/contexts', '{shard}-{replica}')
PARTITION BY run
ORDER BY (service, environment, since)
TTL written_at + INTERVAL 1 DAY
COMMENT 'Contexts by time, for the corrections under way';

-- The same for the observations that state a version or an instance: the deployment each of these belongs to from a
-- moment on; empty: to none.
CREATE TABLE IF NOT EXISTS whence_state.servings ON CLUSTER '{cluster}'
(
    run UInt64,
    service String,
    environment String,
    version String COMMENT 'As observations state it; empty: it is about the instance',
    instance String,
    since DateTime64(3, 'UTC'),
    until DateTime64(3, 'UTC') COMMENT 'The last moment that the run speaks of',
    deployment_id String,
    deployed_version String,
    previous_version String,
    started_at Nullable(DateTime64(3, 'UTC')),
    change_ids Array(String),
    written_at DateTime DEFAULT now()
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/whence_state/servings', '{shard}-{replica}')
PARTITION BY run
ORDER BY (service, environment, version, instance, since)
TTL written_at + INTERVAL 1 DAY
COMMENT 'Deployments by version and instance, for the corrections under way';

-- Who is rewriting rows, and at which revisions: workers' passes, and commands. A row stands until its pass is done; that
-- of a pass that never ends goes after a day, as its contexts do, without which its statements find nothing.
CREATE TABLE IF NOT EXISTS whence_state.rewriting ON CLUSTER '{cluster}'
(
    pass UInt64,
    revision UInt64 COMMENT 'That rows are rewritten at',
    closes Bool COMMENT 'It closes facts: once they are closed up to the revision it is void. A command closes nothing',
    announced_at DateTime DEFAULT now()
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/whence_state/rewriting', '{shard}-{replica}')
PARTITION BY pass
ORDER BY revision
TTL announced_at + INTERVAL 1 DAY
COMMENT 'Corrections under way';

-- One row a pass of reconcile: every fact up to revision is in every row it concerns. The cursor is the greatest; who
-- writes a lesser one changes nothing.
CREATE TABLE IF NOT EXISTS whence_state.reconciled ON CLUSTER '{cluster}'
(
    revision UInt64,
    known UInt64 COMMENT 'The greatest revision that rows were compared with; 0: none were',
    facts UInt64 COMMENT 'Closed by this pass',
    regions UInt64 COMMENT 'Intervals of services that they may have concerned',
    corrected UInt64 COMMENT 'Rows that were rewritten',
    began_at DateTime64(3, 'UTC') COMMENT 'By the worker''s clock',
    closed_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/whence_state/reconciled', '{shard}-{replica}')
ORDER BY revision
COMMENT 'Up to which revision late truth is in the rows';

-- +goose Down

DROP TABLE IF EXISTS whence_state.reconciled ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.rewriting ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.servings ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.contexts ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence.observations_history ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.observations_history_shard ON CLUSTER '{cluster}' SYNC;
ALTER TABLE whence_state.observations_shard ON CLUSTER '{cluster}' DROP COLUMN IF EXISTS rewritten;

-- The same for the table over the shards, which has no codecs of its own.
ALTER TABLE whence.observations ON CLUSTER '{cluster}' DROP COLUMN IF EXISTS rewritten;
