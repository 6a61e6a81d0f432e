-- +goose Up

-- A touch says that rows of a minute were added or rewritten. It is inserted after the rows are stored and acknowledged,
-- and before the ledger says that their batch is done. So whoever reads the sum of a minute's touches first and its rows
-- then has every row that the sum speaks of.
--
-- A touch without a service is the hour's: whoever touches a minute touches its hour, in the same block (and both are of
-- one month, so in the same part) or later, never before. So an hour whose touches have not changed has no
-- minute whose touches have: what is closed is found by the hour, and the rest of history is not looked at.
--
-- Sums of hashes and not a time: no two clocks agree, and a clock may stand still or go back. A touch may come twice, which
-- costs a computation. `rows` only grows and is how old what was read is, `touch` tells two sets of touches apart that two
-- replicas have at one moment, with the same number of rows.
CREATE TABLE IF NOT EXISTS whence_state.touches ON CLUSTER '{cluster}'
(
    service LowCardinality(String) COMMENT 'As observations state it; empty: the row is about the hour',
    environment LowCardinality(String),
    minute DateTime('UTC') COMMENT 'Its start; of an hour: the start of the hour',
    touch UInt64 COMMENT 'A hash of who touched what',
    rows UInt64 COMMENT 'That were written, at least 1'
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/whence_state/touches', '{shard}-{replica}')
PARTITION BY toYYYYMM(minute)
PRIMARY KEY (service != '', toStartOfHour(minute), service, environment)
ORDER BY (service != '', toStartOfHour(minute), service, environment, minute)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, index_granularity = 1024
COMMENT 'Minutes of which rows were written, since ever: read the sums';

-- What was computed of a minute, all its deployments in one row, so that a later row replaces the whole: with a row a
-- deployment, one that a correction has emptied would stay. `touch` and `rows` are the sums that were read before it was
-- computed. A seal is valid exactly while they are the present sums: then nothing was touched since they were read, and
-- what was touched before was stored before it was computed.
--
-- Of several seals the one with the greatest `rows` stays. Sums only grow, so it is the one that was begun last: a sealer
-- that was paused in the middle and goes on hours later can't put its seal over a newer one, and if no newer one came, its
-- own is not valid and is not shown. Two sealers that read the same sums have the same rows, but for those that are stored
-- and not touched yet, whose touch will end the validity of both.
--
-- A row without a service seals an hour: when the hour's sums were those, or later, each of its minutes had a valid seal.
-- While the sums are the same no minute was touched since, so the seals are still valid, and by the above still there. It is
-- in the same table so that who reads both sees both as of one moment.
--
-- The key begins with the day, so that a day's graph of a service reads some 1,440 rows, and today's seals are a range. It
-- ends before the minute: conditions on the minute would be held against that column of the key and not against its day.
CREATE TABLE IF NOT EXISTS whence_state.sealed ON CLUSTER '{cluster}'
(
    service LowCardinality(String) COMMENT 'As observations state it; empty: the row seals the hour',
    environment LowCardinality(String),
    minute DateTime('UTC') COMMENT 'Its start; of an hour: the start of the hour',
    touch UInt64 COMMENT 'Sum of touches, read before',
    rows UInt64 COMMENT 'Sum of touched rows, read before',
    canonical_service LowCardinality(String),
    deployments Nested
    (
        deployment_id LowCardinality(String),
        deployed_version LowCardinality(String),
        observations UInt64,
        requests Float64,
        errors Float64,
        users UInt64,
        conversions Map(String, UInt64),
        latency Map(Int16, Float64),
        latency_sum_ms Float64,
        measurements UInt64,
        measured_requests Float64,
        measured_errors Float64,
        success_ratio_sum Float64,
        success_ratio_count UInt64,
        measured_latency_sum_ms Float64,
        measured_latency_weight Float64,
        measured_p99_ms Float64
    )
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/whence_state/sealed', '{shard}-{replica}', rows)
PARTITION BY toYYYYMM(minute)
PRIMARY KEY (service != '', toDate(minute), service, environment)
ORDER BY (service != '', toDate(minute), service, environment, minute)
SETTINGS index_granularity = 512
COMMENT 'Vitals of minutes, valid while the sums of touches are those. Read it with FINAL';

-- The hours that were touched since they were sealed. FINAL is not needed: an older seal has other sums.
CREATE OR REPLACE VIEW whence_state.open_hours ON CLUSTER '{cluster}' AS
SELECT minute AS hour, sumWithOverflow(touches.touch) AS touch, sum(touches.rows) AS rows
FROM whence_state.touches
WHERE service = ''
GROUP BY hour
HAVING (hour, touch, rows) NOT IN (SELECT minute, touch, rows FROM whence_state.sealed WHERE service = '');

-- The minutes that were touched since they were sealed.
CREATE OR REPLACE VIEW whence_state.open_minutes ON CLUSTER '{cluster}' AS
SELECT service, environment, minute, sumWithOverflow(touches.touch) AS touch, sum(touches.rows) AS rows
FROM whence_state.touches
WHERE service != '' AND toStartOfHour(minute) IN (SELECT hour FROM whence_state.open_hours)
GROUP BY service, environment, minute
HAVING (service, environment, minute, touch, rows) NOT IN
(
    SELECT service, environment, minute, touch, rows
    FROM whence_state.sealed
    WHERE service != '' AND (toDate(minute), toStartOfHour(minute)) IN (SELECT toDate(hour), hour FROM whence_state.open_hours)
);

-- Vitals from the observations themselves: what is shown of open minutes, and what seals are made of. It is one text, so
-- that the two can't differ.
-- Latencies are counted in buckets whose bounds grow by 2^(1/8), scale 3 of OpenTelemetry's exponential histogram: bucket i
-- holds (2^(i/8), 2^((i+1)/8)] ms, -32768 what is not above zero.
-- Floats are summed by Kahan's rule, because rows come in another order each time: two sums of the same rows differ by
-- some units in the last place at most. Whoever compares them takes two for equal that differ by less than a billionth.
-- Users are told apart by 64 bits of hash, which takes a quarter off the whole: among a million users of one minute, the
-- chance that the count is one too low is 1 in 37 million.
CREATE OR REPLACE VIEW whence_state.vitals_computed ON CLUSTER '{cluster}' AS
WITH
    type = 'io.whence.service.measured' AS measured,
    ifNull(o.weight, 1) AS stands_for,
    ifNull(o.requests, 1) AS measured_weight
SELECT
    service, environment, toStartOfMinute(time) AS minute, deployment_id, deployed_version,
    max(o.canonical_service) AS canonical_service,
    count() AS observations,
    sumKahanIf(stands_for, NOT measured AND (ok IS NOT NULL OR duration_ms IS NOT NULL)) AS requests,
    sumKahanIf(stands_for, NOT measured AND ok = false) AS errors,
    uniqExactIf(cityHash64(user), user != '') AS users,
    uniqExactMapIf(map(toString(name), cityHash64(user)),
        user != '' AND type = 'io.whence.behavior.recorded' AND ifNull(ok, true)) AS conversions,
    sumMapIf(map(if(duration_ms > 0, toInt16(ceil(log2(assumeNotNull(duration_ms)) * 8) - 1), toInt16(-32768)), stands_for),
        duration_ms IS NOT NULL AND stands_for != 0) AS latency,
    sumKahanIf(assumeNotNull(duration_ms) * stands_for, duration_ms IS NOT NULL) AS latency_sum_ms,
    countIf(measured) AS measurements,
    sumKahanIf(ifNull(o.requests, 0), measured) AS measured_requests,
    sumKahanIf(coalesce(o.errors, o.requests * (1 - success_ratio), 0), measured) AS measured_errors,
    sumKahanIf(ifNull(success_ratio, 0), measured AND o.requests IS NULL) AS success_ratio_sum,
    countIf(measured AND o.requests IS NULL AND success_ratio IS NOT NULL) AS success_ratio_count,
    sumKahanIf(assumeNotNull(latency_ms) * measured_weight, measured AND latency_ms IS NOT NULL) AS measured_latency_sum_ms,
    sumKahanIf(measured_weight, measured AND latency_ms IS NOT NULL) AS measured_latency_weight,
    maxIf(ifNull(latency_p99_ms, 0), measured) AS measured_p99_ms
FROM whence.observations AS o FINAL
WHERE service != ''
GROUP BY service, environment, minute, deployment_id, deployed_version;

-- Vitals: a row a service, environment, minute and deployment (and version, where no deployment is known). Minutes with a
-- valid seal are read from it, the others are computed here and now, so that every row is exact at any moment.
-- The two parts are disjoint and complete because both ask the same question of the same snapshots: ClickHouse shares
-- them within a query from 25.12 on, before that with enable_shared_storage_snapshot_in_query = 1.
-- Conditions on service, environment and minute reach the primary keys. The index i, and not an ARRAY JOIN of all the
-- columns, because that would read them all whatever was asked for.
CREATE OR REPLACE VIEW whence.vitals ON CLUSTER '{cluster}' AS
WITH
    -- The middle, by ratio, of the bucket that the quantile falls into: within 4.5 % of the exact one. The small term is
    -- there because sums of fractions that end on a bound differ in the last place.
    (q -> if(empty(latency), NULL, exp2((arrayFirst((bucket, seen) -> seen >= (q - 1e-9) * arraySum(mapValues(latency)),
        mapKeys(latency), arrayCumSum(mapValues(latency))) + 0.5) / 8))) AS quantile_ms
SELECT
    service, canonical_service, environment, minute, deployment_id, deployed_version, observations, requests, errors, users, conversions,
    latency, latency_sum_ms, quantile_ms(0.5) AS p50_ms, quantile_ms(0.95) AS p95_ms, quantile_ms(0.99) AS p99_ms,
    measurements, measured_requests, measured_errors, success_ratio_sum, success_ratio_count,
    measured_latency_sum_ms, measured_latency_weight, nullIf(v.measured_p99_ms, 0) AS measured_p99_ms
FROM
(
    SELECT
        service, environment, minute, canonical_service,
        deployments.deployment_id[i] AS deployment_id, deployments.deployed_version[i] AS deployed_version,
        deployments.observations[i] AS observations, deployments.requests[i] AS requests, deployments.errors[i] AS errors,
        deployments.users[i] AS users, deployments.conversions[i] AS conversions,
        deployments.latency[i] AS latency, deployments.latency_sum_ms[i] AS latency_sum_ms,
        deployments.measurements[i] AS measurements, deployments.measured_requests[i] AS measured_requests,
        deployments.measured_errors[i] AS measured_errors, deployments.success_ratio_sum[i] AS success_ratio_sum,
        deployments.success_ratio_count[i] AS success_ratio_count,
        deployments.measured_latency_sum_ms[i] AS measured_latency_sum_ms,
        deployments.measured_latency_weight[i] AS measured_latency_weight,
        deployments.measured_p99_ms[i] AS measured_p99_ms
    FROM whence_state.sealed FINAL
    ARRAY JOIN arrayEnumerate(deployments.deployment_id) AS i
    WHERE service != ''
        AND (service, environment, minute) NOT IN (SELECT service, environment, minute FROM whence_state.open_minutes)
    UNION ALL
    SELECT
        service, environment, minute, canonical_service, deployment_id, deployed_version, observations, requests, errors,
        users, conversions, latency, latency_sum_ms, measurements, measured_requests, measured_errors,
        success_ratio_sum, success_ratio_count, measured_latency_sum_ms, measured_latency_weight, measured_p99_ms
    FROM whence_state.vitals_computed
    WHERE (service, environment, minute) IN (SELECT service, environment, minute FROM whence_state.open_minutes)
) AS v;

-- Vitals of a service over a time, its minutes put together: SELECT * FROM whence.latency(service = 'checkout',
-- environment = 'production', since = '2026-11-01', until = '2026-11-01 14:05'). Quantiles can't be averaged,
-- histograms add up. A time without its day is an error: the parser would take the first day of the year.
CREATE OR REPLACE VIEW whence.latency ON CLUSTER '{cluster}' AS
WITH
    (said -> parseDateTimeBestEffort(if(match(said, '^\\d{4}[-/]?\\d{2}[-/]?\\d{2}'), said, concat('not a day and time: ', said)), 'UTC')) AS moment,
    (q -> if(empty(latency), NULL, exp2((arrayFirst((bucket, seen) -> seen >= (q - 1e-9) * arraySum(mapValues(latency)),
        mapKeys(latency), arrayCumSum(mapValues(latency))) + 0.5) / 8))) AS quantile_ms
SELECT
    deployment_id, deployed_version, first_minute, last_minute, requests, errors, latency,
    quantile_ms(0.5) AS p50_ms, quantile_ms(0.95) AS p95_ms, quantile_ms(0.99) AS p99_ms
FROM
(
    SELECT
        deployment_id, deployed_version, min(minute) AS first_minute, max(minute) AS last_minute,
        sumKahan(v.requests) AS requests, sumKahan(v.errors) AS errors, sumMap(v.latency) AS latency
    FROM whence.vitals AS v
    WHERE service = {service:String} AND environment = {environment:String}
        AND minute >= moment({since:String}) AND minute < moment({until:String})
    GROUP BY deployment_id, deployed_version
);

-- What was stored before there were touches is touched once. Twice does no harm: it is computed again. The minutes come
-- before the hours, see touches.
INSERT INTO whence_state.touches (service, environment, minute, touch, rows)
SELECT service, environment, toStartOfMinute(time) AS minute, greatest(cityHash64(service, environment, minute), 1), count()
FROM whence.observations
WHERE service != ''
GROUP BY service, environment, minute;

-- And their hours.
INSERT INTO whence_state.touches (service, environment, minute, touch, rows)
SELECT '', '', toStartOfHour(time) AS hour, greatest(cityHash64(hour), 1), count()
FROM whence.observations
WHERE service != ''
GROUP BY hour;

-- +goose Down

DROP VIEW IF EXISTS whence.latency ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.vitals ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.vitals_computed ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.open_minutes ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.open_hours ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.sealed ON CLUSTER '{cluster}' SYNC;
DROP TABLE IF EXISTS whence_state.touches ON CLUSTER '{cluster}' SYNC;
