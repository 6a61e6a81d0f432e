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
-- the error rate is the mean of the ratios. Observations count under all names of the deployment's service, which is told
-- as the deployment states it.
CREATE OR REPLACE VIEW whence.deployment_impact AS
WITH (SELECT mapFromArrays(groupArray(name), groupArray(names)) FROM whence.service_names) AS known,
minutes AS
(
    SELECT deployment_id, toString(d.service) AS stated, toString(environment) AS environment,
        arrayJoin(if(empty(known[stated]), [stated], known[stated])) AS service,
        arrayJoin(range(-30, 31)) AS step, toStartOfMinute(started_at) + INTERVAL step MINUTE AS minute
    FROM whence.deployments AS d FINAL
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

-- For each incident, every change of its environment that was in progress at the onset, ended in the day before it, or
-- began within ten minutes after it (onsets are estimates); one that is in progress for over 35 days is no news. The
-- relation says how close it is: on the incident's services, on what they depend on, on what that depends on, elsewhere
-- in the environment, or without a service. No ranking and no judgement: none of them need be the cause.
-- The percent is a deployment's at the onset: 0 before its start, 100 once it ended with success, else as last stated by
-- then, and null where nothing was stated.
-- Changes meet incidents by the days they are around, so that the join grows with the events of a day. Services are canonical.
CREATE OR REPLACE VIEW whence.incident_candidates AS
WITH
    (SELECT mapFromArrays(groupArray(name), groupArray(canonical)) FROM whence.service_names) AS means,
    (stated -> if(mapContains(means, stated), means[stated], stated)) AS meant,
    edges AS (SELECT meant(toString(s.service)) AS service, environment, meant(arrayJoin(depends_on)) AS needs FROM whence.services AS s FINAL),
    hurt AS (SELECT incident_id, environment, meant(arrayJoin(services)) AS service FROM whence.incidents FINAL),
    direct AS
    (
        SELECT DISTINCT hurt.incident_id AS incident_id, hurt.environment AS environment, edges.needs AS service
        FROM hurt INNER JOIN edges ON edges.service = hurt.service
        WHERE edges.environment IN (hurt.environment, '')
    ),
    indirect AS
    (
        SELECT DISTINCT direct.incident_id AS incident_id, direct.environment AS environment, edges.needs AS service
        FROM direct INNER JOIN edges ON edges.service = direct.service
        WHERE edges.environment IN (direct.environment, '')
    ),
    scopes AS
    (
        SELECT incident_id, service, min(distance) AS hops
        FROM
        (
            SELECT incident_id, service, 1 AS distance FROM hurt
            UNION ALL SELECT incident_id, service, 2 FROM direct
            UNION ALL SELECT incident_id, service, 3 FROM indirect
        )
        GROUP BY incident_id, service
    ),
    around AS
    (
        SELECT
            * REPLACE (meant(c.service) AS service),
            ifNull(ended_at + INTERVAL 24 HOUR, started_at + INTERVAL 35 DAY) AS until,
            arrayJoin(range(
                toUInt32(toDate(started_at - INTERVAL 10 MINUTE)),
                toUInt32(toDate(least(until, started_at + INTERVAL 366 DAY))) + 1)) AS day
        FROM whence.what_changed AS c
    )
SELECT
    incidents.incident_id AS incident_id,
    toString(incidents.severity) AS severity,
    incidents.started_at AS incident_started_at,
    around.kind AS cause_kind,
    around.change_id AS cause_id,
    around.service AS service,
    toString(incidents.environment) AS environment,
    multiIf(around.service = '', 'no service', scopes.hops = 1, 'same service', scopes.hops = 2, 'dependency',
        scopes.hops = 3, 'indirect dependency', 'same environment') AS relation,
    if(around.ended_at IS NULL OR around.ended_at > incidents.started_at, 'in_progress', around.state) AS state,
    around.started_at AS started_at,
    around.ended_at AS ended_at,
    dateDiff('second', around.started_at, incidents.started_at) AS lag_seconds,
    multiIf(
        around.kind != 'deployment', NULL,
        around.started_at > incidents.started_at, 0,
        around.ended_at <= incidents.started_at AND around.state = 'success', 100,
        arrayLast((percent, stated) -> stated <= incidents.started_at, arrayMap(p -> toNullable(p), around.percents), around.percent_times)) AS percent,
    around.title AS title,
    around.made_by AS made_by
FROM (SELECT *, toUInt32(toDate(started_at)) AS day FROM whence.incidents FINAL) AS incidents
INNER JOIN around ON around.day = incidents.day
LEFT JOIN scopes ON scopes.incident_id = incidents.incident_id AND scopes.service = around.service
WHERE around.environment IN (incidents.environment, '')
    AND around.started_at - INTERVAL 10 MINUTE <= incidents.started_at
    AND incidents.started_at <= around.until;

-- +goose Down

DROP VIEW IF EXISTS whence.incident_candidates;
DROP VIEW IF EXISTS whence.service_minutes;
DROP VIEW IF EXISTS whence.what_shipped;
DROP VIEW IF EXISTS whence.deployment_impact;
DROP VIEW IF EXISTS whence.what_changed;
DROP VIEW IF EXISTS whence.events;
