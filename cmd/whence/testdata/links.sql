CREATE TABLE IF NOT EXISTS whence_state.rankings
(
    effect_kind LowCardinality(String), effect_id String, number UInt64,
    service LowCardinality(String), environment LowCardinality(String),
    onset DateTime64(3, 'UTC'), detected DateTime64(3, 'UTC'),
    digest UInt64, model LowCardinality(String), revision UInt64, computed_at DateTime64(3, 'UTC'),
    links Nested(cause_kind LowCardinality(String), cause_id String, service LowCardinality(String), rank UInt16,
        probability Float64, log_odds Float64, evidence String)
)
ENGINE = ReplacingMergeTree ORDER BY (effect_kind, effect_id, number);
CREATE VIEW IF NOT EXISTS whence.links_history AS
SELECT effect_kind, effect_id, rankings.service AS service, environment, onset, link.1 AS cause_kind, link.2 AS cause_id, link.3 AS cause_service,
    link.4 AS rank, link.5 AS probability, link.6 AS log_odds, link.7 AS evidence, revision, computed_at, model, number AS ranking
FROM whence_state.rankings FINAL
ARRAY JOIN arrayZip(links.cause_kind, links.cause_id, links.service, links.rank, links.probability, links.log_odds, links.evidence) AS link;
CREATE VIEW IF NOT EXISTS whence.links AS
SELECT * FROM whence.links_history
WHERE (effect_kind, effect_id, ranking) IN (SELECT effect_kind, effect_id, max(number) FROM whence_state.rankings GROUP BY effect_kind, effect_id);
