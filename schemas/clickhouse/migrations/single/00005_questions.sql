-- +goose Up

-- Everything accepted, in one shape. Nothing is stored for it: an observation's data is put together from its columns.
-- Numbers and strings come back as they were stated, attributes as strings, keys sorted.
CREATE OR REPLACE VIEW whence.events AS
WITH
    ((key, value) -> if(value = '', '', concat('"', key, '":', replaceAll(toJSONString(value), '\\/', '/')))) AS words,
    ((key, value) -> ifNull(concat('"', key, '":', toString(value)), '')) AS number
SELECT
    toString(source) AS source, id, toString(type) AS type, subject, time,
    toString(service) AS service, toString(environment) AS environment, data,
    tenant, region, cluster, cell, trace_id, sequence, extensions,
    content_hash, revision, received_at, toString(topic) AS topic, partition, offset
FROM whence.facts FINAL
UNION ALL
SELECT
    toString(source) AS source, id, toString(type) AS type, subject, time,
    toString(service) AS service, toString(environment) AS environment,
    concat('{', arrayStringConcat(arraySort(arrayFilter(field -> field != '', arrayConcat(
        [
            if(type = 'io.whence.behavior.recorded', words('name', toString(name)), ''),
            words('service', service), words('environment', environment),
            words('user', user), words('session', session), words('version', toString(version)),
            words('instance', toString(instance)), number('ok', ok), number('duration_ms', duration_ms),
            number('value', value), number('weight', weight),
            if(empty(attributes), '', concat('"attributes":', replaceAll(toJSONString(attributes), '\\/', '/'))),
            words('experiment', toString(experiment)), words('variant', toString(variant)), words('unit_id', unit_id),
            words('anonymous_id', anonymous_id), words('fingerprint', fingerprint), words('message', message),
            if(empty(frames), '', concat('"frames":[', arrayStringConcat(arrayMap(
                frame -> if(startsWith(frame, '{'), frame, replaceAll(toJSONString(frame), '\\/', '/')), frames), ','), ']')),
            words('caller', toString(caller)), words('callee', toString(callee)),
            number('interval_ms', interval_ms), number('requests', requests), number('errors', errors),
            number('success_ratio', success_ratio), number('latency_ms', latency_ms),
            number('latency_p99_ms', latency_p99_ms), number('cpu_ratio', cpu_ratio), number('memory_ratio', memory_ratio)
        ],
        arrayMap(field -> concat(replaceAll(toJSONString(field.1), '\\/', '/'), ':', field.2), JSONExtractKeysAndValuesRaw(extra))
    ))), ','), '}') AS data,
    tenant, region, cluster, cell, trace_id, sequence, extensions,
    content_hash, revision, received_at, toString(topic) AS topic, partition, offset
FROM whence.observations FINAL
UNION ALL
SELECT
    toString(source) AS source, id, toString(type) AS type, subject, time, '' AS service, '' AS environment, data,
    tenant, region, cluster, cell, trace_id, sequence, extensions,
    content_hash, toUInt64(0) AS revision, received_at, toString(topic) AS topic, partition, offset
FROM whence.other_events FINAL;

-- Everything that can change how a service behaves, as it was rolled out: one row a change and service. Merged code is
-- not in it, as it changes nothing before it is deployed (see what_shipped).
CREATE OR REPLACE VIEW whence.what_changed AS
SELECT
    'deployment' AS kind, deployment_id AS change_id, toString(service) AS service, toString(environment) AS environment,
    started_at, ended_at, toString(state) AS state, percents, percent_times,
    concat(version, if(previous_version = '', '', concat(', before it ', previous_version))) AS title, toString(requested_by) AS made_by
FROM whence.deployments FINAL
UNION ALL
SELECT
    'flag', entity_id, arrayJoin(if(empty(services), [''], services)), environment,
    time, toNullable(time), 'done', [], [], JSONExtractRaw(data, 'rules'), JSONExtractString(data, 'changed_by')
FROM
(
    SELECT *, JSONExtract(data, 'services', 'Array(String)') AS services
    FROM whence_state.entity_facts
    WHERE entity_kind = 'flag' AND live
)
UNION ALL
SELECT
    splitByChar('.', toString(kind))[1], change_id, arrayJoin(if(empty(services), [''], services)), toString(environment),
    changed_at, toNullable(changed_at), 'done', [], [], title, toString(author)
FROM whence.changes FINAL
WHERE kind != 'change.merged'
UNION ALL
SELECT
    'experiment', experiment, arrayJoin(if(empty(services), [''], services)), '',
    assumeNotNull(started_at), stopped_at, if(stopped_at IS NULL, 'in_progress', 'done'), [], [], hypothesis, ''
FROM whence.experiments FINAL
WHERE started_at IS NOT NULL
UNION ALL
SELECT
    'provider', entity_id, '', environment, time, toNullable(time), 'done', [], [], replaceOne(type, 'io.whence.', ''), ''
FROM whence_state.entity_facts
WHERE entity_kind = 'provider' AND live;

-- What users and services saw in the half hour before each deployment started and the half hour after, by whole minutes
-- of the service in its environment; the minute of the start is in neither. Where sources state ratios without counts,
-- the error rate is the mean of the ratios.
CREATE OR REPLACE VIEW whence.deployment_impact AS
WITH minutes AS
(
    SELECT deployment_id, toString(service) AS service, toString(environment) AS environment,
        arrayJoin(range(-30, 31)) AS step, toStartOfMinute(started_at) + INTERVAL step MINUTE AS minute
    FROM whence.deployments FINAL
    WHERE step != 0
),
seen AS
(
    SELECT
        minutes.deployment_id AS deployment_id,
        minutes.step > 0 AS after,
        if(name = 'service.measured', requests, if(ok IS NULL AND duration_ms IS NULL, NULL, ifNull(weight, 1))) AS n,
        if(name = 'service.measured', coalesce(errors, requests * (1 - success_ratio)), if(ok = false, ifNull(weight, 1), 0)) AS bad,
        1 - success_ratio AS bad_ratio,
        coalesce(duration_ms, latency_ms) AS ms
    FROM (SELECT *, toStartOfMinute(time) AS minute FROM whence.observations FINAL) AS observations
    INNER JOIN minutes ON minutes.service = observations.service AND minutes.environment = observations.environment
        AND minutes.minute = observations.minute
),
impact AS
(
    SELECT
        deployment_id,
        countIf(NOT after) AS observations_before, countIf(after) AS observations_after,
        sumIf(n, NOT after) AS requests_before, sumIf(n, after) AS requests_after,
        if(requests_before > 0, sumIf(bad, NOT after) / requests_before, avgOrNullIf(bad_ratio, NOT after)) AS error_rate_before,
        if(requests_after > 0, sumIf(bad, after) / requests_after, avgOrNullIf(bad_ratio, after)) AS error_rate_after,
        quantileOrNullIf(0.95)(ms, NOT after) AS p95_ms_before, quantileOrNullIf(0.95)(ms, after) AS p95_ms_after
    FROM seen
    GROUP BY deployment_id
)
SELECT
    deployments.deployment_id AS deployment_id, toString(deployments.service) AS service,
    toString(deployments.environment) AS environment, toString(deployments.version) AS version,
    toString(deployments.state) AS state, deployments.started_at AS started_at,
    impact.observations_before AS observations_before, impact.observations_after AS observations_after,
    impact.requests_before AS requests_before, impact.requests_after AS requests_after,
    impact.error_rate_before AS error_rate_before, impact.error_rate_after AS error_rate_after,
    impact.p95_ms_before AS p95_ms_before, impact.p95_ms_after AS p95_ms_after
FROM (SELECT * FROM whence.deployments FINAL) AS deployments
LEFT JOIN impact ON impact.deployment_id = deployments.deployment_id;

-- Which change went where: one row a change and a deployment that carries one of its revisions. Lead time runs from the
-- first commit, where commits say when they were written, else from the merge, to the deployment's completion.
CREATE OR REPLACE VIEW whence.what_shipped AS
SELECT
    changes.change_id AS change_id, changes.title AS title, toString(changes.author) AS author,
    toString(changes.repository) AS repository, changes.changed_at AS merged_at,
    deployments.deployment_id AS deployment_id, toString(deployments.service) AS service,
    toString(deployments.environment) AS environment, toString(deployments.version) AS version,
    toString(deployments.state) AS state, deployments.started_at AS started_at, deployments.completed_at AS completed_at,
    dateDiff('second', ifNull(changes.first_authored_at, changes.changed_at), deployments.completed_at) AS lead_time_seconds
FROM (SELECT *, arrayJoin(revisions) AS shipped FROM whence.changes FINAL) AS changes
INNER JOIN (SELECT *, arrayJoin(revisions) AS shipped FROM whence.deployments FINAL) AS deployments
    ON deployments.shipped = changes.shipped
LIMIT 1 BY change_id, deployment_id;

-- What users and services saw, by minute and by the version that served them.
CREATE OR REPLACE VIEW whence.service_minutes AS
SELECT
    toString(service) AS service, toString(environment) AS environment, toStartOfMinute(time) AS minute,
    toString(deployed_version) AS version, toString(deployment_id) AS deployment_id,
    count() AS observations,
    sum(if(name = 'service.measured', requests, if(ok IS NULL AND duration_ms IS NULL, NULL, ifNull(weight, 1)))) AS requests_seen,
    if(requests_seen > 0,
        sum(if(name = 'service.measured', coalesce(errors, requests * (1 - success_ratio)), if(ok = false, ifNull(weight, 1), 0))) / requests_seen,
        avgOrNull(1 - success_ratio)) AS error_rate,
    quantileOrNull(0.95)(coalesce(duration_ms, latency_ms)) AS p95_ms,
    uniqExactIf(user, user != '') AS users
FROM whence.observations FINAL
GROUP BY service, environment, minute, version, deployment_id;

-- +goose Down

DROP VIEW IF EXISTS whence.service_minutes;
DROP VIEW IF EXISTS whence.what_shipped;
DROP VIEW IF EXISTS whence.deployment_impact;
DROP VIEW IF EXISTS whence.what_changed;
DROP VIEW IF EXISTS whence.events;
