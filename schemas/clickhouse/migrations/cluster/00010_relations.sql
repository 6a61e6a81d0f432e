-- +goose Up

-- What belongs to what: a finding and what brought and removed it, an incident and what it
-- did to users, what was taken back, which flag drives which experiment. Nothing is stored for these views.
-- Of entities there are few, and a view may read all of a kind. Observations are read by the services, environments and
-- days in question. ClickHouse can't hand a condition on an id from outside a view to the place where days become a
-- condition on the key, so each of the views that read observations is there twice: with the id as a parameter, for
-- one entity by its key, and without, for lists, where a condition on the id saves the work but not the look at the key.
-- (It does where the join's runtime filters are tried while reading, as in 26.7; on a cluster all rows go to one server.)
-- Observations are read without FINAL, because under FINAL rows are put together before a join's filters are tried: the
-- join asks of the key alone, so all contents of an observation pass or none, and of those the greatest row_version holds.
-- service and environment are LowCardinality on both sides, because a runtime filter on a converted column is not tried
-- while reading.

-- Where and from when until when a finding was live: one row a finding, service and environment, as finding_exposure
-- tells it, without users; service is canonical. Parameter finding: its id; empty: all.
-- A finding that states its service meets the deployments of that service, another one those that carry a revision it
-- names or that name it: a deployment and a finding meet by any of these words, in an environment or in any. Words that
-- meet nothing leave a row without a place, which counts if there is no other.
CREATE OR REPLACE VIEW whence_state.exposure ON CLUSTER '{cluster}' AS
WITH
    (SELECT mapFromArrays(groupArray(name), groupArray(canonical)) FROM whence.service_names) AS means,
    (stated -> if(mapContains(means, stated), means[stated], stated)) AS meant,
    -- A revision may be in several changes, and came with the one merged first.
    changed AS
    (
        SELECT arrayJoin(revisions) AS revision, argMin((change_id, title, toString(author), toNullable(changed_at), revisions), (changed_at, change_id)) AS change
        FROM whence.changes FINAL
        WHERE revision IN (SELECT arrayJoin([revision_introduced, revision_fixed]) FROM whence.findings FINAL WHERE {finding:String} = '' OR finding_id = {finding:String})
        GROUP BY revision
    )
SELECT
    finding_id, finding.1 AS kind, finding.2 AS rule, finding.3 AS severity,
    if(at_service = '', finding.4, at_service) AS service, if(at_environment = '', finding.5, at_environment) AS environment,
    change.1 AS change_id, change.2 AS change_title, change.3 AS change_author, if(change_id = '', NULL, change.4) AS merged_at,
    bringing[1].2 AS introduced_by, bringing[1].3 AS introduced_version,
    if(introduced_by = '', finding.6, bringing[1].1) AS since,
    arrayFirst(d -> d.1 >= since, removing) AS removal, removal.2 AS removed_by, removal.3 AS removed_version,
    if(removed_by = '', finding.7, removal.1) AS until,
    finding.8 AS state
FROM
(
    SELECT
        finding_id, any(found.finding) AS finding, any(found.introducing) AS change,
        deployments.service AS at_service, deployments.environment AS at_environment,
        arraySort(groupUniqArrayIf((completed, deployment_id, version), hasAny(revisions, brought))) AS bringing,
        arraySort(groupUniqArrayIf((completed, deployment_id, version), hasAny(revisions, removed) OR has(remediates, finding_id))) AS removing,
        max(notEmpty(bringing)) OVER (PARTITION BY finding_id) AS known,
        count() OVER (PARTITION BY finding_id) AS places
    FROM
    (
        SELECT
            finding_id, toString(findings.environment) AS scope,
            (toString(kind), toString(rule), toString(severity), meant(toString(findings.service)), scope,
                coalesce(first_seen, opened_at, time), closed_at, toString(state)) AS finding,
            introduced.change AS introducing,
            if(revision_introduced = '', [], arrayPushFront(introduced.change.5, revision_introduced)) AS brought,
            if(revision_fixed = '', [], arrayPushFront(fixed.change.5, revision_fixed)) AS removed,
            arrayJoin(if(
                findings.service != '', [('service', meant(toString(findings.service)), scope)],
                arrayPushBack(arrayMap(r -> ('revision', r, scope), arrayConcat(brought, removed)), ('finding', finding_id, scope)))) AS word
        FROM (SELECT * FROM whence.findings FINAL WHERE {finding:String} = '' OR finding_id = {finding:String}) AS findings
        LEFT JOIN changed AS introduced ON introduced.revision = findings.revision_introduced
        LEFT JOIN changed AS fixed ON fixed.revision = findings.revision_fixed
    ) AS found
    LEFT JOIN
    (
        SELECT
            deployment_id, meant(toString(d.service)) AS service, toString(environment) AS environment, toString(version) AS version,
            revisions, remediates, assumeNotNull(completed_at) AS completed, arrayJoin([environment, '']) AS scope,
            arrayJoin(arrayConcat(
                [('service', service, scope)], arrayMap(r -> ('revision', r, scope), revisions), arrayMap(f -> ('finding', f, scope), remediates))) AS word
        FROM whence.deployments AS d FINAL
        WHERE completed_at IS NOT NULL
    ) AS deployments ON deployments.word = found.word
    GROUP BY finding_id, at_service, at_environment
)
WHERE if(known, notEmpty(bringing), at_service != '' OR places = 1);

-- finding_exposure of one finding: finding = 'CVE-1'; empty: of all.
-- Among 5 million observations of 20 services in a week, and 20,000 changes and deployments, a finding live for most of the
-- week on one service (225,000 observations): 0.5 s, and 0.4 s from finding_exposure with a condition on the id (2 cores,
-- ClickHouse 26.7). This one reads the 0.4 million rows of that service, the other one the keys of all.
CREATE OR REPLACE VIEW whence.finding_exposure_of ON CLUSTER '{cluster}' AS
WITH
    (SELECT mapFromArrays(groupArray(name), groupArray(names)) FROM whence.service_names) AS known,
    (SELECT (groupArray(name), groupArray(canonical)) FROM whence.user_names) AS people,
    live AS
    (
        SELECT *, greatest(since, ifNull(until, now64(3, 'UTC'))) AS till
        FROM whence_state.exposure(finding = {finding:String})
    ),
    placed AS
    (
        SELECT finding_id, toLowCardinality(service) AS service, toLowCardinality(environment) AS environment, since, till,
            toLowCardinality(arrayJoin(if(empty(known[live.service]), [live.service], known[live.service]))) AS stated
        FROM live
    ),
    met AS
    (
        SELECT placed.finding_id AS finding_id, placed.service AS service, placed.environment AS environment, argMax(user, version) AS user
        FROM
        (
            SELECT service, environment, name, time, source, id, user, row_version AS version
            FROM whence.observations
            WHERE {finding:String} = '' OR (service, environment, toDate(time)) IN
            (
                SELECT stated, environment, arrayJoin(arrayMap(day -> toDate(since) + day, range(toUInt32(dateDiff('day', since, till)) + 1)))
                FROM placed
            )
        ) AS observations
        INNER JOIN placed ON placed.stated = observations.service AND placed.environment = observations.environment
        WHERE observations.time >= placed.since AND observations.time < placed.till
        GROUP BY finding_id, service, environment, observations.service, name, time, source, id
    )
SELECT
    live.finding_id AS finding_id, live.kind AS kind, live.rule AS rule, live.severity AS severity,
    live.service AS service, live.environment AS environment, live.change_id AS change_id, live.change_title AS change_title,
    live.change_author AS change_author, live.merged_at AS merged_at,
    live.introduced_by AS introduced_by, live.introduced_version AS introduced_version, live.since AS since,
    live.removed_by AS removed_by, live.removed_version AS removed_version, live.until AS until,
    dateDiff('millisecond', live.since, live.till) / 3600000 AS exposure_hours,
    if(live.service = '' OR live.environment = '', NULL, users.users) AS users,
    live.state AS state
FROM live
LEFT JOIN (SELECT finding_id, service, environment, uniqExactIf(transform(user, people.1, people.2, user), user != '') AS users FROM met GROUP BY finding_id, service, environment) AS users
    ON users.finding_id = live.finding_id AND users.service = live.service AND users.environment = live.environment;

-- Who was exposed to a finding, where, for how long: one row a finding, service and environment.
-- change_id, change_title, change_author, merged_at: the change with revision_introduced, empty where none is known.
-- introduced_by, introduced_version: of the deployments of the service that carry that revision, or another one of the
-- change, the one completed first; where it is known in one environment, there are no rows of environments it was not
-- brought to. Where it is known in none, introduced_by is empty, since is when the finding was first seen, and there is
-- a row for each environment that the service was deployed to, as far as the finding states none.
-- removed_by, removed_version: the deployment, completed first at or after since, that carries revision_fixed, or another
-- revision of that change, or that names the finding among what it remediates.
-- until: that deployment's completion, else when the finding was remediated or accepted; null: exposed until now.
-- exposure_hours: from since until until, or now. users: distinct users of observations of the service, all names of both, in the
-- environment meanwhile; null where service or environment is not known. state: the finding's, everywhere.
CREATE OR REPLACE VIEW whence.finding_exposure ON CLUSTER '{cluster}' AS
SELECT * FROM whence.finding_exposure_of(finding = '');

-- Incidents, and until when each is counted: its end, or now, but at most a day after its onset, and not beyond
-- the last minute in which anything was seen in its environment: after that nothing can be said to be missing. Parameter
-- incident: its id; empty: all. Of one service's silence while others are seen nothing is taken away: that is an outage.
-- `over` is the same without the last: a touch comes after its rows, and what was seen meanwhile is not left out.
-- `compared_from` is an hour before the onset, but not before the first minute in which anything was seen there, if that is
-- within a day of the onset: before it nothing can be said to have been missing either.
-- touches is read by its key, the hours in question, and tells of all services what the observations would tell of each.
CREATE OR REPLACE VIEW whence_state.incident_bounds ON CLUSTER '{cluster}' AS
WITH hours AS
(
    SELECT incident_id, environment, arrayJoin(arrayMap(n -> toStartOfHour(toDateTime(started_at, 'UTC')) + toIntervalHour(n), range(-25, 25))) AS hour
    FROM whence.incidents FINAL
    WHERE {incident:String} = '' OR incident_id = {incident:String}
)
SELECT
    incidents.*,
    greatest(started_at, least(ifNull(ended_at, now64(3, 'UTC')), started_at + INTERVAL 24 HOUR)) AS over,
    greatest(started_at, least(over, toDateTime64(seen.last, 3, 'UTC'))) AS counted_until,
    least(started_at, greatest(started_at - INTERVAL 1 HOUR, toDateTime64(seen.first, 3, 'UTC'))) AS compared_from
FROM (SELECT * FROM whence.incidents FINAL WHERE {incident:String} = '' OR incident_id = {incident:String}) AS incidents
LEFT JOIN
(
    SELECT incident_id AS seen_id, min(first) AS first, max(last) AS last
    FROM hours
    INNER JOIN
    (
        SELECT environment, toStartOfHour(minute) AS hour, min(minute) AS first, max(minute) + INTERVAL 1 MINUTE AS last
        FROM whence_state.touches
        WHERE service != '' AND toStartOfHour(minute) IN (SELECT hour FROM hours)
        GROUP BY environment, hour
    ) AS touched ON touched.environment = hours.environment AND touched.hour = hours.hour
    GROUP BY seen_id
) AS seen ON seen.seen_id = incidents.incident_id;

-- The spans of time that an incident is judged by, one row a span, name of a service and day: during the impact, as far as
-- it is counted, the hour before it, and the same minutes of the week before. Parameter incident: its id; empty: all.
CREATE OR REPLACE VIEW whence_state.incident_spans ON CLUSTER '{cluster}' AS
WITH (SELECT mapFromArrays(groupArray(name), groupArray(names)) FROM whence.service_names) AS known
SELECT
    incident_id, service, environment, span.1 AS period, span.2 AS since, span.3 AS until,
    arrayJoin(arrayMap(n -> toDate(since) + n, range(toUInt32(dateDiff('day', since, until)) + 1))) AS day
FROM
(
    SELECT
        incident_id, toLowCardinality(arrayJoin(arrayDistinct(arrayConcat(services, arrayFlatten(arrayMap(s -> known[s], services)))))) AS service, environment,
        arrayJoin([
            ('during', started_at, over),
            ('hour before', compared_from, started_at),
            ('week before', started_at - INTERVAL 1 WEEK, counted_until - INTERVAL 1 WEEK)]) AS span
    FROM whence_state.incident_bounds(incident = {incident:String})
);

-- The observations of these spans, one row an observation and span, as FINAL would show it.
CREATE OR REPLACE VIEW whence_state.incident_observations ON CLUSTER '{cluster}' AS
SELECT
    spans.incident_id AS incident_id, spans.period AS period, name,
    argMax((type, user, ok, duration_ms, ifNull(weight, 1), requests, errors, success_ratio), version) AS seen
FROM
(
    SELECT
        service, environment, time, toDate(time) AS day, name, source, id,
        type, user, ok, duration_ms, weight, requests, errors, success_ratio, row_version AS version
    FROM whence.observations
    WHERE {incident:String} = '' OR (service, environment, toDate(time)) IN
        (SELECT service, environment, day FROM whence_state.incident_spans(incident = {incident:String}))
) AS observations
INNER JOIN whence_state.incident_spans(incident = {incident:String}) AS spans
    ON spans.service = observations.service AND spans.environment = observations.environment AND spans.day = observations.day
WHERE observations.time >= spans.since AND observations.time < spans.until
GROUP BY incident_id, period, observations.service, observations.environment, name, time, source, id;

-- What incident_impact and incident_conversions tell, in one reading: one row an incident.
CREATE OR REPLACE VIEW whence_state.incident_counts ON CLUSTER '{cluster}' AS
WITH
    (seen.1 = 'io.whence.service.measured') AS measured,
    (NOT measured AND (seen.3 IS NOT NULL OR seen.4 IS NOT NULL)) AS request,
    (seen.1 = 'io.whence.behavior.recorded' AND ifNull(seen.3, true)) AS conversion,
    (SELECT (groupArray(name), groupArray(canonical)) FROM whence.user_names) AS known,
    transform(seen.2, known.1, known.2, seen.2) AS user,
    (period = 'during') AS during,
    (period = 'hour before') AS before
SELECT
    incidents.*, counts.*,
    dateDiff('millisecond', compared_from, started_at) AS compared_ms,
    mapFilter((name, times) -> compared_ms >= 600000, conversions_before) AS comparable,
    dateDiff('millisecond', started_at, counted_until) / compared_ms AS lengths,
    arrayMap(
        name -> (
            name,
            multiIf(mapContains(conversions_week, name), 'week before', mapContains(comparable, name), 'hour before', ''),
            multiIf(mapContains(conversions_week, name), conversions_week[name],
                mapContains(comparable, name), comparable[name] * lengths, NULL),
            conversions_during[name]),
        arraySort(arrayDistinct(arrayConcat(mapKeys(conversions_during), mapKeys(conversions_before), mapKeys(conversions_week))))) AS conversions
FROM whence_state.incident_bounds(incident = {incident:String}) AS incidents
LEFT JOIN
(
    SELECT
        incident_id AS counted_id,
        uniqExactIf(user, during AND user != '' AND seen.3 = false) AS users_affected,
        uniqExactIf(user, during AND user != '') AS users_seen,
        sumIf(seen.5, request AND during) AS requests_during,
        sumIf(seen.5, request AND before) AS requests_before,
        sumIf(seen.5, request AND during AND seen.3 = false) AS failed_during,
        sumIf(seen.5, request AND before AND seen.3 = false) AS failed_before,
        sumIf(ifNull(seen.6, 0), measured AND during) AS measured_during,
        sumIf(ifNull(seen.6, 0), measured AND before) AS measured_before,
        sumIf(coalesce(seen.7, seen.6 * (1 - seen.8), 0), measured AND during) AS errors_during,
        sumIf(coalesce(seen.7, seen.6 * (1 - seen.8), 0), measured AND before) AS errors_before,
        avgOrNullIf(1 - seen.8, measured AND during) AS ratio_during,
        avgOrNullIf(1 - seen.8, measured AND before) AS ratio_before,
        sumMapIf(map(toString(name), seen.5), conversion AND during) AS conversions_during,
        sumMapIf(map(toString(name), seen.5), conversion AND before) AS conversions_before,
        sumMapIf(map(toString(name), seen.5), conversion AND period = 'week before') AS conversions_week
    FROM whence_state.incident_observations(incident = {incident:String})
    GROUP BY incident_id
) AS counts ON counts.counted_id = incidents.incident_id;

-- incident_conversions of one incident: incident = 'INC-42'; empty: of all.
CREATE OR REPLACE VIEW whence.incident_conversions_of ON CLUSTER '{cluster}' AS
SELECT
    incident_id, services, toString(environment) AS environment, started_at, ended_at, counted_until,
    c.1 AS conversion, c.2 AS basis, c.3 AS forecast, c.4 AS actual, forecast - actual AS lost
FROM (SELECT *, arrayJoin(conversions) AS c FROM whence_state.incident_counts(incident = {incident:String}));

-- What an incident cost in conversions: one row an incident and conversion, a behaviour on one of its services.
-- counted_until: the incident's end, or now, but at most a day after the onset, and at most the last minute in which
-- anything was seen in its environment, after which nothing can be said to be missing.
-- actual: how often it went well (ok is not false) in [onset, counted_until), by weight, where vitals count users.
-- forecast: how often in the same minutes of the week before; if that shows none, as often as in the hour before the onset,
-- or in what there is of it where nothing was seen in the environment earlier, ten minutes at least; null if that shows none
-- either.
-- basis says which: 'week before', 'hour before', empty. lost: forecast less actual, negative where there were more.
-- The week before is taken as it was: an incident in it makes the forecast too low.
CREATE OR REPLACE VIEW whence.incident_conversions ON CLUSTER '{cluster}' AS
SELECT * FROM whence.incident_conversions_of(incident = '');

-- incident_impact of one incident: incident = 'INC-42'; empty: of all.
-- Among 5 million observations of 20 services in a week, an incident of two hours on two of them: 0.15 s for 0.09 million
-- rows read, and 0.16 s from incident_impact with a condition on the id, which reads the keys of all (2 cores, ClickHouse 26.7).
CREATE OR REPLACE VIEW whence.incident_impact_of ON CLUSTER '{cluster}' AS
SELECT
    incident_id, services, toString(environment) AS environment, toString(severity) AS severity, toString(state) AS state,
    started_at, ended_at, counted_until, users_affected, users_seen,
    multiIf(requests_during + requests_before > 0, 'observations', measured_during + measured_before > 0, 'measurements',
        ratio_during IS NOT NULL OR ratio_before IS NOT NULL, 'ratios', '') AS basis,
    multiIf(basis = 'observations', requests_during, basis = 'measurements', measured_during, NULL) AS requests,
    multiIf(basis = 'observations', failed_during, basis = 'measurements', errors_during, NULL) AS requests_failed,
    multiIf(basis = 'observations', failed_before / nullIf(requests_before, 0),
        basis = 'measurements', errors_before / nullIf(measured_before, 0), ratio_before) AS error_rate_before,
    multiIf(basis = 'observations', failed_during / nullIf(requests_during, 0),
        basis = 'measurements', errors_during / nullIf(measured_during, 0), ratio_during) AS error_rate_during,
    mapFromArrays(forecast.1, arrayMap(c -> assumeNotNull(c.3) - c.4, forecast)) AS conversions_lost
FROM (SELECT *, arrayFilter(c -> c.3 IS NOT NULL, conversions) AS forecast FROM whence_state.incident_counts(incident = {incident:String}));

-- What an incident did to users: one row an incident, counted over all its services, under all their names, in its environment,
-- from its onset until counted_until: its end, or now, but at most a day later, and see incident_conversions.
-- users_affected, users_seen: distinct users (user_names are one) with an observation that failed (ok is false), and with any.
-- basis: what requests are counted from: 'observations' (those that state ok or duration_ms, by weight), where there are
-- none 'measurements' (service.measured, as it counts the same requests from another side), where these have no counts
-- 'ratios', else empty. requests, requests_failed: null if there are no counts. error_rate_before, error_rate_during: in
-- the hour before the onset and since, 0 to 1, of 'ratios' their mean; null where there were no requests.
-- conversions_lost: conversion to forecast less actual, see incident_conversions; those without a forecast are left out.
CREATE OR REPLACE VIEW whence.incident_impact ON CLUSTER '{cluster}' AS
SELECT * FROM whence.incident_impact_of(incident = '');

-- What takes back what: one row a change that states `reverts`, or a deployment that states `rollback_of`.
-- kind (change, deployment), id: what takes back. names: what it states that it takes back; reverted_id: which one that
-- is, empty where it is not known. found_by: 'id', 'revision' (one of the change's), 'prefix' (the beginning of one, of
-- at least 7 hex digits, in the same repository as far as both state one; a prefix of two changes says nothing).
-- A revision of several changes came with the one merged first. reverted_at: when what was taken back was merged or
-- started; taken_back_at: when it was taken back, merged or completed; minutes between the two, null where one is not known.
CREATE OR REPLACE VIEW whence.reverts ON CLUSTER '{cluster}' AS
WITH
    changes AS (SELECT change_id, toString(repository) AS repository, title, revisions, reverts, changed_at FROM whence.changes FINAL),
    (name -> match(name, '^[0-9a-fA-F]{7,}$')) AS is_hex,
    matches AS
    (
        SELECT
            reverting.change_id AS change_id, reverted.change_id AS reverted_id, reverted.title AS reverted_title,
            reverted.changed_at AS reverted_at, min(reverting.word.1) AS how
        FROM
        (
            SELECT change_id, repository, reverts, arrayJoin(arrayConcat(
                [(1, reverts), (2, reverts)], if(is_hex(reverts), [(3, lower(left(reverts, 7)))], []))) AS word
            FROM changes
            WHERE reverts != ''
        ) AS reverting
        INNER JOIN
        (
            SELECT *, arrayJoin(arrayConcat(
                [(1, change_id)], arrayMap(r -> (2, r), revisions), arrayMap(r -> (3, lower(left(r, 7))), arrayFilter(is_hex, revisions)))) AS word
            FROM changes
        ) AS reverted ON reverted.word = reverting.word
        WHERE reverted.change_id != reverting.change_id
            AND (reverting.word.1 < 3 OR arrayExists(r -> startsWith(lower(r), lower(reverting.reverts)), reverted.revisions)
                AND (reverted.repository = reverting.repository OR reverted.repository = '' OR reverting.repository = ''))
        GROUP BY change_id, reverted_id, reverted_title, reverted_at
    ),
    chosen AS
    (
        SELECT change_id, min(how) AS best, argMin((reverted_id, reverted_title, reverted_at), (how, reverted_at, reverted_id)) AS reverted
        FROM matches
        GROUP BY change_id
        HAVING best < 3 OR count() = 1
    )
SELECT
    'change' AS kind, changes.change_id AS id, changes.title AS title, '' AS service, '' AS environment, changes.repository AS repository,
    changes.reverts AS names, chosen.reverted.1 AS reverted_id, chosen.reverted.2 AS reverted_title,
    ['', 'id', 'revision', 'prefix'][chosen.best + 1] AS found_by,
    if(reverted_id = '', NULL, chosen.reverted.3) AS reverted_at,
    toNullable(changes.changed_at) AS taken_back_at,
    dateDiff('millisecond', reverted_at, taken_back_at) / 60000 AS minutes
FROM (SELECT * FROM changes WHERE reverts != '') AS changes
LEFT JOIN chosen ON chosen.change_id = changes.change_id
UNION ALL
SELECT
    'deployment', back.deployment_id, toString(back.version), toString(back.service), toString(back.environment), '',
    back.rollback_of, reverted.deployment_id, toString(reverted.version), if(reverted.deployment_id = '', '', 'id'),
    if(reverted.deployment_id = '', NULL, reverted.started_at) AS begun, back.completed_at,
    dateDiff('millisecond', begun, back.completed_at) / 60000
FROM (SELECT * FROM whence.deployments FINAL WHERE rollback_of != '') AS back
LEFT JOIN (SELECT * FROM whence.deployments FINAL) AS reverted
    ON reverted.deployment_id = back.rollback_of AND reverted.deployment_id != back.deployment_id;

-- Which flag drives which experiment: one row a flag, environment and experiment. certainty: 'name' (flag and experiment
-- are called the same) or 'variants' (the rules of the flag have the variants of the experiment, and both name a common
-- service); a flag that an experiment is named after is held against no other. An off/on experiment may so have several
-- flags: 'variants' is a guess.
-- since, until: from the first time to the last that the flag had such rules in the environment while the experiment ran.
-- until is null while both last. services: the common ones, of 'name' those of the experiment.
CREATE OR REPLACE VIEW whence.flag_experiments ON CLUSTER '{cluster}' AS
WITH
    states AS
    (
        SELECT
            entity_id AS flag, environment, arraySort(JSONExtractKeys(data, 'rules')) AS variants,
            JSONExtract(data, 'services', 'Array(String)') AS services, time AS since,
            leadInFrame(toNullable(time)) OVER (PARTITION BY entity_id, environment ORDER BY ord ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
        FROM whence_state.entity_facts
        WHERE entity_kind = 'flag' AND live
    ),
    tests AS
    (
        SELECT experiment, arraySort(mapKeys(variants)) AS variants, services, started_at, stopped_at
        FROM whence.experiments FINAL
    ),
    pairs AS
    (
        SELECT flag, environment, experiment, 'name' AS certainty, tests.services AS common, since, until, started_at, stopped_at
        FROM states INNER JOIN tests ON tests.experiment = states.flag
        WHERE notEmpty(states.variants)
        UNION ALL
        SELECT flag, environment, experiment, 'variants', arrayIntersect(states.services, tests.services), since, until, started_at, stopped_at
        FROM states INNER JOIN tests ON tests.variants = states.variants
        WHERE notEmpty(states.variants) AND hasAny(states.services, tests.services) AND flag NOT IN (SELECT experiment FROM tests)
    )
SELECT
    flag, environment, experiment, certainty,
    arraySort(groupUniqArrayArray(common)) AS services,
    min(greatest(pairs.since, ifNull(started_at, pairs.since))) AS since,
    if(max(pairs.until IS NULL AND stopped_at IS NULL), NULL, max(least(ifNull(pairs.until, stopped_at), ifNull(stopped_at, pairs.until)))) AS until
FROM pairs
WHERE (stopped_at IS NULL OR pairs.since < stopped_at) AND (started_at IS NULL OR pairs.until IS NULL OR pairs.until > started_at)
GROUP BY flag, environment, experiment, certainty;

-- +goose Down

DROP VIEW IF EXISTS whence.flag_experiments ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.reverts ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.incident_impact ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.incident_impact_of ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.incident_conversions ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.incident_conversions_of ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.incident_counts ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.incident_observations ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.incident_spans ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.incident_bounds ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.finding_exposure ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.finding_exposure_of ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.exposure ON CLUSTER '{cluster}' SYNC;
