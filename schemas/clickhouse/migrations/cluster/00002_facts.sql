-- +goose Up

-- One row a fact: of two contents under one (source, id, type) the greater hash wins, of one content said twice the
-- earliest revision stays, so SELECT ... FROM whence.facts FINAL is exact whatever came first.
-- Small granules, because lookups are by single identities.
CREATE TABLE IF NOT EXISTS whence.facts ON CLUSTER '{cluster}'
(
    source LowCardinality(String) COMMENT 'Who published it (CloudEvents source)',
    id String COMMENT 'Its id, unique within the source',
    type LowCardinality(String) COMMENT 'io.whence. and what happened',
    subject String COMMENT 'What it is about, as stated',
    time DateTime64(3, 'UTC') COMMENT 'When it happened (event time)',
    tenant LowCardinality(String),
    region LowCardinality(String),
    cluster LowCardinality(String),
    cell LowCardinality(String),
    trace_id String,
    sequence String COMMENT 'Position in its source, as stated',
    extensions Map(String, String) COMMENT 'Other CloudEvents extension attributes',
    service LowCardinality(String) COMMENT 'As stated; empty: none',
    environment LowCardinality(String) COMMENT 'As stated; empty: none',
    entity_kind LowCardinality(String) COMMENT 'What it speaks of: deployment, incident, flag, ...',
    entity_id String COMMENT 'Which one: its deployment_id, incident_id, flag, ...',
    data String COMMENT 'The event''s data, canonical JSON' CODEC(ZSTD(1)),
    content_hash UInt64 COMMENT 'Of the event as published; the greater of two contents wins',
    revision UInt64 COMMENT 'Its place in the context log (epoch << 40 | offset)',
    row_version UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(content_hash), 64), toUInt128(bitNot(revision)))
        COMMENT 'content_hash << 64 | ~revision',
    received_at DateTime64(3, 'UTC') COMMENT 'When Kafka took it',
    topic LowCardinality(String) COMMENT 'Where it came from',
    partition Int32,
    offset Int64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence/facts', '{shard}-{replica}', row_version)
ORDER BY (source, id, type)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, index_granularity = 256
COMMENT 'What changed: deployments, flags, incidents, findings, ... as published. Read it with FINAL';

-- Every distinct content ever said, losers too, by what it speaks of: entities are derived from here.
-- The key ends with the hash, so FINAL forgets repetitions and nothing else. The contents of 100 entities among a
-- million facts: 28 ms with granules of 256 rows, 18 ms with 64 (2 cores).
CREATE TABLE IF NOT EXISTS whence_state.fact_contents ON CLUSTER '{cluster}'
(
    entity_kind LowCardinality(String),
    entity_id String,
    source LowCardinality(String),
    id String,
    type LowCardinality(String),
    content_hash UInt64,
    subject String,
    time DateTime64(3, 'UTC'),
    tenant LowCardinality(String),
    region LowCardinality(String),
    cluster LowCardinality(String),
    cell LowCardinality(String),
    trace_id String,
    sequence String,
    extensions Map(String, String),
    service LowCardinality(String),
    environment LowCardinality(String),
    data String CODEC(ZSTD(1)),
    revision UInt64,
    first_said UInt64 MATERIALIZED bitNot(revision) COMMENT 'Greatest for the earliest revision',
    received_at DateTime64(3, 'UTC'),
    topic LowCardinality(String),
    partition Int32,
    offset Int64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/fact_contents', '{shard}-{replica}', first_said)
PRIMARY KEY (entity_kind, entity_id)
ORDER BY (entity_kind, entity_id, source, id, type, content_hash)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, index_granularity = 64
COMMENT 'Every distinct content of every fact';

-- Fills fact_contents from each block of facts, before Replacing drops a loser that came in the same block.
CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.fact_contents_feed ON CLUSTER '{cluster}' TO whence_state.fact_contents AS
SELECT
    entity_kind, entity_id, source, id, type, content_hash, subject, time, tenant, region, cluster, cell, trace_id,
    sequence, extensions, service, environment, data, revision, received_at, topic, partition, offset
FROM whence.facts;

-- Which contents an identity has and what they speak of: who is touched by a fact, and which facts have twins.
CREATE TABLE IF NOT EXISTS whence_state.identities ON CLUSTER '{cluster}'
(
    source LowCardinality(String),
    id String,
    type LowCardinality(String),
    content_hash UInt64,
    entity_kind LowCardinality(String),
    entity_id String
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/identities', '{shard}-{replica}')
PRIMARY KEY (source, id)
ORDER BY (source, id, type, content_hash)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, index_granularity = 64
COMMENT 'Index of fact_contents by identity';

-- Fills identities from each block of facts.
CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.identities_feed ON CLUSTER '{cluster}' TO whence_state.identities AS
SELECT source, id, type, content_hash, entity_kind, entity_id FROM whence.facts;

-- What retractions name: a retraction unsays every fact of that source and id.
CREATE TABLE IF NOT EXISTS whence_state.retractions ON CLUSTER '{cluster}'
(
    retracted_source String,
    retracted_id String,
    source LowCardinality(String),
    id String,
    time DateTime64(3, 'UTC'),
    content_hash UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/retractions', '{shard}-{replica}')
ORDER BY (retracted_source, retracted_id, source, id, content_hash)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, index_granularity = 256
COMMENT 'Index of fact.retracted by what it names';

-- Fills retractions from each block of facts.
CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.retractions_feed ON CLUSTER '{cluster}' TO whence_state.retractions AS
SELECT
    JSONExtractString(data, 'retracts', 'source') AS retracted_source,
    JSONExtractString(data, 'retracts', 'id') AS retracted_id,
    source, id, time, content_hash
FROM whence.facts
WHERE type = 'io.whence.fact.retracted';

-- What scans list, a row a finding, and one row a part of a scan besides, with an empty finding_id: findings are derived
-- from here as if each had a fact of its own. data holds what is known of the finding, the scan's own where it states none.
-- The key begins with the scan's entity_id: what a tool finds in a target is read together, every time.
CREATE TABLE IF NOT EXISTS whence_state.listings ON CLUSTER '{cluster}'
(
    entity_id String COMMENT 'Of the fact: tool|target',
    finding_id String COMMENT 'Empty: the row is the part itself',
    source LowCardinality(String),
    id String,
    content_hash UInt64,
    number UInt32 COMMENT 'Which of the part''s findings, from 1; 0: the part itself',
    tool LowCardinality(String),
    target String,
    scan_id String,
    part UInt32,
    parts UInt32 COMMENT '0: not stated',
    partial Bool COMMENT 'complete: false',
    time DateTime64(3, 'UTC'),
    status LowCardinality(String) COMMENT 'opened, remediated, accepted; of the part itself: empty',
    service LowCardinality(String),
    environment LowCardinality(String),
    repository LowCardinality(String),
    data String CODEC(ZSTD(1)),
    revision UInt64,
    first_said UInt64 MATERIALIZED bitNot(revision) COMMENT 'Greatest for the earliest revision',
    received_at DateTime64(3, 'UTC'),
    topic LowCardinality(String),
    partition Int32,
    offset Int64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/listings', '{shard}-{replica}', first_said)
PRIMARY KEY (entity_id, finding_id)
ORDER BY (entity_id, finding_id, source, id, content_hash, number)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, index_granularity = 256
COMMENT 'What scans found, by tool and target';

-- Fills listings from each block of facts. Numbers are read as schemas/codec reads them. What the part states is read before
-- ARRAY JOIN makes its findings rows: with arrayJoin(), a part was copied and parsed again for each of its findings, 40 ms for
-- 200 of them (measured; it grows with their square).
CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.listings_feed ON CLUSTER '{cluster}' TO whence_state.listings AS
WITH
    (field -> JSONExtractString(listing.1, field)) AS said,
    ((field, common) -> [common, said(field)][1 + (said(field) != '')]) AS said_or
SELECT
    entity_id, said('finding_id') AS finding_id, source, id, content_hash, toUInt32(listing.2) AS number,
    tool, target, scan_id, part, parts, partial, time,
    multiIf(number = 0, '', said('status') IN ('accepted', 'remediated'), said('status'), 'opened') AS status,
    if(number = 0, '', said_or('service', common.1)) AS service,
    if(number = 0, '', said_or('environment', common.2)) AS environment,
    if(number = 0, '', said_or('repository', common.3)) AS repository,
    if(number = 0, '', toJSONString(map(
        'service', service, 'environment', environment, 'repository', repository, 'artifact', said_or('artifact', common.4),
        'kind', said('kind'), 'rule', said('rule'), 'severity', said('severity'), 'control', said('control'),
        'revision_introduced', said('revision_introduced'), 'revision_fixed', said('revision_fixed'),
        'first_seen', said('first_seen'), 'due_at', said('due_at'), 'evidence_url', said('evidence_url')))) AS data,
    revision, received_at, topic, partition, offset
FROM
(
    SELECT
        entity_id, source, id, content_hash, time, revision, received_at, topic, partition, offset,
        tool, target, scan_id, part, parts, partial, common, listing
    FROM
    (
        WITH (field -> if(JSONExtractInt(facts.data, field) BETWEEN 0 AND 2147483647, toUInt32(JSONExtractInt(facts.data, field)), 0)) AS count_of
        SELECT
            entity_id, source, id, content_hash, time, revision, received_at, topic, partition, offset,
            JSONExtractString(facts.data, 'tool') AS tool, JSONExtractString(facts.data, 'target') AS target, JSONExtractString(facts.data, 'scan_id') AS scan_id,
            if(count_of('part') = 0, 1, count_of('part')) AS part,
            if(count_of('part') = 0, greatest(count_of('parts'), 1), count_of('parts')) AS parts,
            JSONExtractRaw(facts.data, 'complete') = 'false' AS partial,
            (JSONExtractString(facts.data, 'service'), JSONExtractString(facts.data, 'environment'),
                JSONExtractString(facts.data, 'repository'), JSONExtractString(facts.data, 'artifact')) AS common,
            JSONExtractArrayRaw(facts.data, 'findings') AS findings,
            arrayPushFront(arrayZip(findings, arrayEnumerate(findings)), ('', 0)) AS listings
        FROM whence.facts
        WHERE type = 'io.whence.scan.completed'
    )
    ARRAY JOIN listings AS listing
);

-- Where findings are listed: a way into listings that begins with the finding.
CREATE TABLE IF NOT EXISTS whence_state.listed_in ON CLUSTER '{cluster}'
(
    finding_id String,
    entity_id String COMMENT 'Of the scans: tool|target'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/listed_in', '{shard}-{replica}')
ORDER BY (finding_id, entity_id)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, index_granularity = 256
COMMENT 'Index of listings by finding';

-- Fills listed_in from each block of listings.
CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.listed_in_feed ON CLUSTER '{cluster}' TO whence_state.listed_in AS
SELECT DISTINCT finding_id, entity_id FROM whence_state.listings WHERE number > 0;

-- One row a content that lost to a greater one under the same identity. A content never wins again once it has lost
-- (facts only grow), so rows are never taken back; a still greater content replaces kept_*.
CREATE TABLE IF NOT EXISTS whence.conflicts ON CLUSTER '{cluster}'
(
    source LowCardinality(String),
    id String,
    type LowCardinality(String),
    time DateTime64(3, 'UTC') COMMENT 'Of the content that was kept',
    kept_hash UInt64,
    lost_hash UInt64,
    kept_data String CODEC(ZSTD(1)),
    lost_data String CODEC(ZSTD(1)),
    lost_time DateTime64(3, 'UTC') COMMENT 'Of the content that lost',
    revision UInt64 COMMENT 'At which the loser was first said',
    received_at DateTime64(3, 'UTC') COMMENT 'When Kafka took the loser',
    topic LowCardinality(String) COMMENT 'Where the loser came from',
    partition Int32,
    offset Int64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence/conflicts', '{shard}-{replica}', kept_hash)
ORDER BY (source, id, type, lost_hash)
SETTINGS index_granularity = 256
COMMENT 'Facts that were said in two ways under one identity. Read it with FINAL';

-- Which events are unsaid by a retraction that counts. A row that stopped counting is marked and hidden by FINAL.
CREATE TABLE IF NOT EXISTS whence_state.unsaid ON CLUSTER '{cluster}'
(
    source String,
    id String,
    revision UInt64,
    is_deleted UInt8
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/unsaid', '{shard}-{replica}', revision, is_deleted)
ORDER BY (source, id)
COMMENT 'Events that were retracted. Derived like entities';

-- The contents of every entity. Those that don't count, because they lost to a greater content or were retracted,
-- have empty data and stay in sight, so that an entity with nothing left is seen to be gone.
CREATE OR REPLACE VIEW whence_state.entity_facts ON CLUSTER '{cluster}' AS
SELECT
    entity_kind, entity_id, toString(source) AS source, id, toString(type) AS type, content_hash, time,
    toString(service) AS service, toString(environment) AS environment,
    (time, source, id, content_hash) AS ord,
    (fact_contents.source, id, fact_contents.type, content_hash)
        NOT IN (SELECT source, id, type, lost_hash FROM whence.conflicts)
    AND (fact_contents.source, id) NOT IN (SELECT source, id FROM whence_state.unsaid FINAL) AS live,
    fact_contents.data AS stated,
    if(live, stated, '') AS data,
    received_at, toString(topic) AS topic, partition, offset
FROM whence_state.fact_contents FINAL;

-- What scans list, and whether it counts, as entity_facts has it of facts.
CREATE OR REPLACE VIEW whence_state.listed_facts ON CLUSTER '{cluster}' AS
SELECT
    entity_id, finding_id, toString(source) AS source, id, 'io.whence.scan.completed' AS type, time, number,
    toString(tool) AS tool, target, scan_id, part, parts, partial, toString(status) AS status,
    (time, source, id, content_hash) AS ord,
    (listings.source, id, 'io.whence.scan.completed', content_hash)
        NOT IN (SELECT source, id, type, lost_hash FROM whence.conflicts)
    AND (listings.source, id) NOT IN (SELECT source, id FROM whence_state.unsaid FINAL) AS live,
    if(live, listings.data, '') AS data,
    received_at, toString(topic) AS topic, partition, offset
FROM whence_state.listings FINAL;

-- Accepted events of types that have no place of their own yet. Nothing is computed from them that needs one content
-- an id, so all contents of an id are kept: event_conflicts has those of which there are two.
CREATE TABLE IF NOT EXISTS whence_state.other_events_shard ON CLUSTER '{cluster}'
(
    source LowCardinality(String) COMMENT 'Who published it (CloudEvents source)',
    id String COMMENT 'Its id, unique within the source' CODEC(ZSTD(1)),
    type LowCardinality(String),
    subject String COMMENT 'What it is about, as stated',
    time DateTime64(3, 'UTC') COMMENT 'When it happened (event time)' CODEC(DoubleDelta, ZSTD(1)),
    tenant LowCardinality(String),
    region LowCardinality(String),
    cluster LowCardinality(String),
    cell LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    sequence String COMMENT 'Position in its source, as stated',
    extensions Map(String, String) COMMENT 'Other CloudEvents extension attributes',
    data String COMMENT 'The event''s data, canonical JSON; empty: none' CODEC(ZSTD(1)),
    content_hash UInt64 COMMENT 'Of the event as published; an id may have been said with two',
    received_at DateTime64(3, 'UTC') COMMENT 'When Kafka took it' CODEC(DoubleDelta, ZSTD(1)),
    topic LowCardinality(String) COMMENT 'Where it came from',
    partition Int32,
    offset Int64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/whence/other_events', '{replica}')
ORDER BY (type, source, id, content_hash)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800
COMMENT 'Accepted events that are neither facts nor observations. Read it with FINAL';

-- The table over the shards: what reads and writes go through.
CREATE TABLE IF NOT EXISTS whence.other_events ON CLUSTER '{cluster}' AS whence_state.other_events_shard
ENGINE = Distributed('{cluster}', whence_state, other_events_shard, cityHash64(source, id));

-- Ids that were said with more than one content: two senders that take each other's, or one that doesn't know what it
-- sends. Of a fact the content with the greatest hash counts, and conflicts has what the others said. Of another event all
-- are in other_events. Nothing is known of observations: see pipeline/DESIGN.md.
CREATE OR REPLACE VIEW whence.event_conflicts ON CLUSTER '{cluster}' AS
SELECT
    toString(source) AS source, id, toString(type) AS type, 'fact' AS kind, count() + 1 AS contents,
    arraySort(arrayConcat([max(kept_hash)], groupArray(lost_hash))) AS content_hashes,
    max(received_at) AS last_received_at, arraySort(groupUniqArray(toString(topic))) AS topics
FROM whence.conflicts FINAL
GROUP BY source, id, type
UNION ALL
SELECT
    toString(source) AS source, id, toString(type) AS type, 'other' AS kind, count() AS contents,
    arraySort(groupArray(content_hash)) AS content_hashes,
    max(received_at) AS last_received_at, arraySort(groupUniqArray(toString(topic))) AS topics
FROM whence.other_events FINAL
GROUP BY source, id, type
HAVING contents > 1;

-- The same of observations, whose ids nobody keeps a list of: ids that were said with more than one content, one row an id
-- and type, of observations whose event time is in [since, until), as since = '2026-11-26', until = '2026-11-27'.
-- All contents are in observations: of one id they differ in service, environment, name or time, which are in its key. Of
-- those that agree in all four the greatest content counts, and is the only one that is kept.
-- In two steps, because almost no id has two contents, and hashes group faster than strings, in less memory.
CREATE OR REPLACE VIEW whence.observation_conflicts ON CLUSTER '{cluster}' AS
WITH
    parseDateTime64BestEffort({since:String}, 3, 'UTC') AS since,
    parseDateTime64BestEffort({until:String}, 3, 'UTC') AS until,
    several AS
    (
        SELECT cityHash64(source, id, type) AS identity
        FROM whence.observations
        WHERE toDate(time) >= toDate(since) AND toDate(time) <= toDate(until) AND time >= since AND time < until
        GROUP BY identity
        HAVING min(content_hash) != max(content_hash)
    )
SELECT
    toString(source) AS source, id, toString(type) AS type, uniqExact(content_hash) AS contents,
    arraySort(groupUniqArray(content_hash)) AS content_hashes, min(time) AS first_time, max(time) AS last_time,
    arraySort(groupUniqArray(toString(service))) AS services,
    max(received_at) AS last_received_at, arraySort(groupUniqArray(toString(topic))) AS topics
FROM whence.observations FINAL
WHERE toDate(time) >= toDate(since) AND toDate(time) <= toDate(until) AND time >= since AND time < until
    AND cityHash64(observations.source, id, observations.type) GLOBAL IN several
GROUP BY source, id, type
HAVING contents > 1;

-- What names mean, by the last fact that speaks of each (R5), of every kind: service, repository, person, user.
CREATE OR REPLACE VIEW whence_state.words ON CLUSTER '{cluster}' AS
SELECT said.1 AS kind, said.2 AS alias, argMax(said.3, ord) AS name FROM
(
    SELECT ord, arrayJoin(if(entity_kind = 'service',
        arrayMap(a -> ('service', a, JSONExtractString(data, 'service')), JSONExtract(data, 'aliases', 'Array(String)')),
        [(JSONExtractString(data, 'kind'), JSONExtractString(data, 'alias'), JSONExtractString(data, 'canonical'))])) AS said
    FROM whence_state.entity_facts
    WHERE entity_kind IN ('service', 'identity') AND live AND (entity_kind = 'identity' OR position(data, '"aliases"') > 0)
)
WHERE said.2 != '' AND said.3 != '' AND said.2 != said.3
GROUP BY kind, alias;

-- The same with chains followed to a name that means nothing else, and a cycle to its least name (R6). A name that comes
-- out as itself, the least of a cycle, has no row.
CREATE OR REPLACE VIEW whence_state.meanings ON CLUSTER '{cluster}' AS
WITH
    (SELECT (groupArray(concat(kind, ':', alias)), groupArray(concat(kind, ':', name))) FROM whence_state.words) AS known,
    known.1 AS aliases, known.2 AS names,
    range(length(arrayIntersect(aliases, names)) + 2) AS links
SELECT kind, alias, canonical FROM
(
    SELECT
        kind, alias,
        if(has(aliases, concat(kind, ':', name)),
            arrayFold(
                (path, link) -> if(
                    has(aliases, path[-1]) AND NOT has(arrayPopBack(path), path[-1]),
                    arrayPushBack(path, names[indexOf(aliases, path[-1])]), path),
                links, [concat(kind, ':', alias)]),
            [concat(kind, ':', name)]) AS path,
        if(has(arrayPopBack(path), path[-1]), arrayMin(arraySlice(path, indexOf(path, path[-1]))), path[-1]) AS last,
        substring(last, length(kind) + 2) AS canonical
    FROM whence_state.words
)
WHERE canonical != alias;

-- What names of services mean, chains followed: as canonical_service has it.
CREATE OR REPLACE VIEW whence_state.aliases ON CLUSTER '{cluster}' AS
SELECT alias, canonical AS name FROM whence_state.meanings WHERE kind = 'service';

-- Which names are one: one row a name that means another or that others mean, of each kind. canonical: what it means; names:
-- all that mean the same, itself and the canonical one among them. A name that stands alone has no row.
CREATE OR REPLACE VIEW whence_state.synonyms ON CLUSTER '{cluster}' AS
SELECT kind, arrayJoin(together) AS name, canonical, together AS names FROM
(
    SELECT kind, canonical, arraySort(arrayDistinct(arrayPushBack(groupArray(alias), canonical))) AS together
    FROM whence_state.meanings
    GROUP BY kind, canonical
);

-- Those of services.
CREATE OR REPLACE VIEW whence.service_names ON CLUSTER '{cluster}' AS
SELECT name, canonical, names FROM whence_state.synonyms WHERE kind = 'service';

-- Those of users. Where views count users of an incident or a finding, such names are one; vitals count each by itself.
CREATE OR REPLACE VIEW whence.user_names ON CLUSTER '{cluster}' AS
SELECT name, canonical, names FROM whence_state.synonyms WHERE kind = 'user';

-- +goose Down

DROP VIEW IF EXISTS whence.user_names ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.service_names ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.synonyms ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.aliases ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.meanings ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.words ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.observation_conflicts ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.event_conflicts ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence.other_events ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.other_events_shard ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.entity_facts ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.listed_facts ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.unsaid ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence.conflicts ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.listed_in_feed ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.listed_in ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.listings_feed ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.listings ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.retractions_feed ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.retractions ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.identities_feed ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.identities ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.fact_contents_feed ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.fact_contents ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence.facts ON CLUSTER '{cluster}' SYNC;
