-- +goose Up

-- One row a breach.
CREATE TABLE IF NOT EXISTS whence.breaches
(
    breach_id String,
    service LowCardinality(String),
    environment LowCardinality(String),
    severity LowCardinality(String) COMMENT 'As last stated',
    started_at DateTime64(3, 'UTC') COMMENT 'As last stated, else when it was detected',
    detected_at Nullable(DateTime64(3, 'UTC')),
    contained_at Nullable(DateTime64(3, 'UTC')) COMMENT 'null: goes on',
    actor LowCardinality(String),
    records Nullable(Float64) COMMENT 'How many records it reached, as last stated',
    finding_id String COMMENT 'The finding they used',
    state LowCardinality(String) COMMENT 'open, contained',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (breach_id)
COMMENT 'Breaches of security. Read it with FINAL';

-- Which facts a deployment is made of, so that whether a ranking is still right can be told from its row: the sum of the
-- hashes of those before a time says what was known of it by then.
ALTER TABLE whence.deployments ADD COLUMN IF NOT EXISTS fact_times Array(DateTime64(3, 'UTC')) COMMENT 'When each of its facts happened, in their order' AFTER facts;

-- The hashes of the same facts, in the same order.
ALTER TABLE whence.deployments ADD COLUMN IF NOT EXISTS fact_hashes Array(UInt64) COMMENT 'What each of its facts says, hashed' AFTER fact_times;

-- Who calls whom, by hour, as measured: the way from a service to its neighbours without reading what all services measured.
-- A row stays when the measurement that said it is corrected: whoever goes this way reads the measurements afterwards.
CREATE TABLE IF NOT EXISTS whence_state.edges
(
    environment LowCardinality(String),
    hour DateTime('UTC'),
    caller LowCardinality(String),
    callee LowCardinality(String),
    service LowCardinality(String) COMMENT 'Whose measurements speak of it, as stated'
)
ENGINE = ReplacingMergeTree
ORDER BY (environment, hour, caller, callee, service)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Calls between services that were measured in an hour';

-- Fills edges from each block of observations. Most blocks have none, and cost nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.edges_feed TO whence_state.edges AS
SELECT DISTINCT environment, toStartOfHour(time) AS hour, caller, callee, service
FROM whence.observations
WHERE caller != '' AND callee != '' AND service != '';

-- What was measured before there was a feed. Twice does no harm.
INSERT INTO whence_state.edges (environment, hour, caller, callee, service)
SELECT DISTINCT environment, toStartOfHour(time) AS hour, caller, callee, service
FROM whence.observations
WHERE caller != '' AND callee != '' AND service != '';

-- The facts that may be to blame, by time: facts and fact_contents are ordered by what they speak of. Every content ever
-- said is here, so a reader leaves out what lost and what was unsaid, as whence_state.entity_facts does.
CREATE TABLE IF NOT EXISTS whence_state.fact_times
(
    environment LowCardinality(String) COMMENT 'Empty: none stated',
    entity_kind LowCardinality(String) COMMENT 'deployment, change, flag, provider, cause',
    time DateTime64(3, 'UTC'),
    source LowCardinality(String),
    id String,
    type LowCardinality(String),
    content_hash UInt64,
    entity_id String,
    services Array(LowCardinality(String)) COMMENT 'Every service it names, as stated'
)
ENGINE = ReplacingMergeTree
PRIMARY KEY (environment, entity_kind, time)
ORDER BY (environment, entity_kind, time, source, id, type, content_hash)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 512
COMMENT 'Index of fact_contents by environment and time';

-- Fills fact_times from each block of facts.
CREATE MATERIALIZED VIEW IF NOT EXISTS whence_state.fact_times_feed TO whence_state.fact_times AS
SELECT
    environment, entity_kind, time, source, id, type, content_hash, entity_id,
    arrayFilter(s -> s != '', arrayDistinct(arrayPushBack(JSONExtract(data, 'services', 'Array(String)'), toString(service)))) AS services
FROM whence.facts
WHERE entity_kind IN ('deployment', 'change', 'flag', 'provider', 'cause');

-- The facts from before there was a feed. Twice does no harm.
INSERT INTO whence_state.fact_times (environment, entity_kind, time, source, id, type, content_hash, entity_id, services)
SELECT
    environment, entity_kind, time, source, id, type, content_hash, entity_id,
    arrayFilter(s -> s != '', arrayDistinct(arrayPushBack(JSONExtract(data, 'services', 'Array(String)'), toString(service)))) AS services
FROM whence_state.fact_contents
WHERE entity_kind IN ('deployment', 'change', 'flag', 'provider', 'cause');

-- What a cause is looked for, in one shape. An incident or a breach begins when it is said to have begun, and is detected
-- no earlier. revision_introduced is what a finding blames itself, and a breach through its finding. What a scan has found,
-- thousands at once, is an effect only where the revision that brought it is named: there is nothing else to look for.
CREATE OR REPLACE VIEW whence_state.effects AS
SELECT
    kind, id, service, services, environment, least(began, noticed) AS onset, noticed AS detected, title, severity,
    introduced, revision_introduced, repository, finding_kind, known_at
FROM
(
    SELECT
        'incident' AS kind, incident_id AS id, toString(service) AS service, services, toString(environment) AS environment,
        started_at AS began, greatest(started_at, coalesce(detected_at, opened_at, started_at)) AS noticed, title,
        toString(severity) AS severity, '' AS introduced, '' AS revision_introduced, '' AS repository, '' AS finding_kind,
        received_at AS known_at
    FROM whence.incidents FINAL
    UNION ALL
    SELECT
        'alert', alert_id, toString(service), [], toString(environment), assumeNotNull(fired_at), assumeNotNull(fired_at), summary,
        toString(severity), '', '', '', '', received_at
    FROM whence.alerts FINAL
    WHERE fired_at IS NOT NULL
    UNION ALL
    SELECT
        'breach', breach_id, toString(service), [], toString(environment), started_at,
        greatest(started_at, coalesce(detected_at, started_at)), '', toString(severity), b.finding_id,
        f.revision_introduced, '', '', received_at
    FROM (SELECT * FROM whence.breaches FINAL) AS b
    LEFT JOIN (SELECT finding_id, revision_introduced FROM whence.findings FINAL) AS f ON f.finding_id = b.finding_id
    UNION ALL
    SELECT
        'finding', finding_id, toString(service), [], toString(environment), coalesce(first_seen, opened_at, time),
        coalesce(opened_at, first_seen, time), toString(rule), toString(severity), revision_introduced, revision_introduced,
        toString(repository), toString(kind), received_at
    FROM whence.findings FINAL
    WHERE facts > sightings OR revision_introduced != ''
);

-- One row a ranking of an effect's causes, never changed: the one with the greatest number is current. One without links
-- says that the effect is gone. `digest` is of everything that it was computed from, so whether it is still right can be
-- told without computing it again.
CREATE TABLE IF NOT EXISTS whence_state.rankings
(
    effect_kind LowCardinality(String) COMMENT 'incident, alert, breach, finding',
    effect_id String,
    number UInt64 COMMENT '1, 2, ... of this effect',
    service LowCardinality(String) COMMENT 'Of the effect, aliases resolved',
    environment LowCardinality(String),
    onset DateTime64(3, 'UTC') COMMENT 'When the effect began',
    detected DateTime64(3, 'UTC') COMMENT 'When it was noticed',
    digest UInt64 COMMENT 'Of everything that was read',
    model LowCardinality(String) COMMENT 'Name and version of the weights',
    revision UInt64 COMMENT 'Of the facts that were known',
    computed_at DateTime64(3, 'UTC'),
    links Nested
    (
        cause_kind LowCardinality(String),
        cause_id String,
        service LowCardinality(String),
        rank UInt16,
        probability Float64,
        log_odds Float64,
        evidence String
    )
)
ENGINE = ReplacingMergeTree(computed_at)
ORDER BY (effect_kind, effect_id, number)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 512
COMMENT 'Causes of effects, ranked, every time that they were';

-- Up to which number the rankings of an effect were published on the topic. It is written after the broker has
-- acknowledged, so who takes over publishes again what may not be there.
CREATE TABLE IF NOT EXISTS whence_state.published
(
    effect_kind LowCardinality(String),
    effect_id String,
    number UInt64
)
ENGINE = ReplacingMergeTree(number)
ORDER BY (effect_kind, effect_id)
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Rankings that are on the topic of links';

-- Every ranking of the causes of an effect, one row a hypothesis.
CREATE OR REPLACE VIEW whence.links_history AS
SELECT
    toString(effect_kind) AS effect_kind, effect_id, toString(r.service) AS service, toString(environment) AS environment, onset,
    toString(links.cause_kind[i]) AS cause_kind, links.cause_id[i] AS cause_id, toString(links.service[i]) AS cause_service,
    links.rank[i] AS rank, links.probability[i] AS probability, links.log_odds[i] AS log_odds, links.evidence[i] AS evidence,
    revision, computed_at, toString(model) AS model, number AS ranking
FROM whence_state.rankings AS r FINAL
ARRAY JOIN arrayEnumerate(links.rank) AS i;

-- The current ranking of the causes of each effect, one row a hypothesis. Probabilities of one effect sum to one.
CREATE OR REPLACE VIEW whence.links AS
SELECT
    toString(effect_kind) AS effect_kind, effect_id, toString(r.service) AS service, toString(environment) AS environment, onset,
    toString(links.cause_kind[i]) AS cause_kind, links.cause_id[i] AS cause_id, toString(links.service[i]) AS cause_service,
    links.rank[i] AS rank, links.probability[i] AS probability, links.log_odds[i] AS log_odds, links.evidence[i] AS evidence,
    revision, computed_at, toString(model) AS model, number AS ranking
FROM whence_state.rankings AS r FINAL
ARRAY JOIN arrayEnumerate(links.rank) AS i
WHERE (effect_kind, effect_id, number) IN (SELECT effect_kind, effect_id, max(number) FROM whence_state.rankings GROUP BY effect_kind, effect_id);

-- What is known of how calls went, one row an interval, instance and edge: what services measured, and what users did, by
-- the minute. `time` is the interval's end. A row without an instance is the edge as one of its ends sees it; behaviour that
-- names no instance is of one called after its version (which is a `version_key`), and its caller is called (users); behaviour that doesn't say how it
-- went is left out.
-- Names at both ends are resolved as `canonical_service` is, by the last fact that speaks of each. What is measured of no edge is of the calls into the service. `failed` is the share of calls that failed, of 0 to 1, `calls` for how many it stands: 1 where only a ratio is stated.
CREATE OR REPLACE VIEW whence.signals AS
WITH (SELECT (groupArray(alias), groupArray(name)) FROM whence_state.aliases) AS known
SELECT
    * REPLACE (
        if(has(known.1, caller), known.2[indexOf(known.1, caller)], caller) AS caller,
        if(has(known.1, callee), known.2[indexOf(known.1, callee)], callee) AS callee),
    if(requests > 0, assumeNotNull(requests), 1) AS calls,
    multiIf(requests = 0, NULL, requests > 0 AND errors IS NOT NULL, errors / requests, 1 - success_ratio) AS stated,
    if(isNull(stated), NULL, least(1, greatest(0, stated))) AS failed,
    failed IS NOT NULL OR ifNull(requests >= 0, 0) OR ifNull(latency_ms > 0, 0) OR ifNull(cpu_ratio > 0, 0) AS reports
FROM
(
    SELECT
        time, toString(environment) AS environment, toString(canonical_service) AS service, toString(instance) AS instance, toString(version_key) AS version,
        toString(caller) AS caller, if(o.caller = '' AND o.callee = '', service, toString(o.callee)) AS callee, requests, errors, success_ratio, latency_ms, cpu_ratio, memory_ratio
    FROM whence.observations AS o FINAL
    WHERE type = 'io.whence.service.measured'
    UNION ALL
    SELECT
        toDateTime64(toStartOfMinute(o.time) + INTERVAL 1 MINUTE, 3, 'UTC') AS time, toString(o.environment) AS environment,
        toString(o.canonical_service) AS service, if(o.instance = '', concat('version ', o.version_key), toString(o.instance)) AS instance, toString(o.version_key) AS version,
        '(users)' AS caller, service AS callee, CAST(sum(ifNull(o.weight, 1)), 'Nullable(Float64)') AS requests,
        CAST(sumIf(ifNull(o.weight, 1), NOT o.ok), 'Nullable(Float64)') AS errors, CAST(NULL, 'Nullable(Float64)') AS success_ratio,
        avg(o.duration_ms) AS latency_ms, CAST(NULL, 'Nullable(Float64)') AS cpu_ratio, CAST(NULL, 'Nullable(Float64)') AS memory_ratio
    FROM whence.observations AS o FINAL
    WHERE type = 'io.whence.behavior.recorded' AND ok IS NOT NULL
    GROUP BY time, environment, service, instance, version
);

-- +goose Down

DROP VIEW IF EXISTS whence.signals;

DROP VIEW IF EXISTS whence.links;
DROP VIEW IF EXISTS whence.links_history;
DROP TABLE IF EXISTS whence_state.published;
DROP TABLE IF EXISTS whence_state.rankings;
DROP VIEW IF EXISTS whence_state.effects;
DROP TABLE IF EXISTS whence_state.fact_times_feed;
DROP TABLE IF EXISTS whence_state.fact_times;
DROP TABLE IF EXISTS whence_state.edges_feed;
DROP TABLE IF EXISTS whence_state.edges;
ALTER TABLE whence.deployments DROP COLUMN IF EXISTS fact_hashes;
ALTER TABLE whence.deployments DROP COLUMN IF EXISTS fact_times;
DROP TABLE IF EXISTS whence.breaches;
