-- +goose Up

-- What follows from aliases of services where figures are told: of an incident, a deployment or a finding those
-- observations count whose service means the same, whatever name either states. Nothing is stored for these views: an
-- alias counts as soon as it is known, and no longer once it is taken back.

-- Which names are one service: one row a name that means another or that others mean. canonical: what it means; names:
-- all that mean the same, itself and the canonical one among them. A name that stands alone has no row.
CREATE OR REPLACE VIEW whence.service_names AS
SELECT arrayJoin(together) AS name, canonical, together AS names FROM
(
    SELECT canonical, arraySort(arrayDistinct(arrayPushBack(groupArray(alias), canonical))) AS together
    FROM whence_state.meanings
    WHERE kind = 'service'
    GROUP BY canonical
);

-- As in 00010, of all names of the incident's services: observations are found by the name they state, which is in the key.
CREATE OR REPLACE VIEW whence_state.incident_spans AS
WITH (SELECT mapFromArrays(groupArray(name), groupArray(names)) FROM whence.service_names) AS known
SELECT
    incident_id, service, environment, span.1 AS period, span.2 AS since, span.3 AS until,
    arrayJoin(arrayMap(n -> toDate(since) + n, range(toUInt32(dateDiff('day', since, until)) + 1))) AS day
FROM
(
    SELECT
        incident_id, toLowCardinality(arrayJoin(arrayDistinct(arrayConcat(services, arrayFlatten(arrayMap(s -> known[s], services)))))) AS service, environment,
        greatest(started_at, ifNull(ended_at, now64(3, 'UTC'))) AS ended,
        toIntervalWeek(intDiv(dateDiff('second', started_at, ended), 7 * 24 * 3600) + 1) AS weeks,
        arrayJoin([
            ('during', started_at, ended),
            ('hour before', started_at - INTERVAL 1 HOUR, started_at),
            ('week before', started_at - weeks, ended - weeks)]) AS span
    FROM whence.incidents FINAL
    WHERE {incident:String} = '' OR incident_id = {incident:String}
);

-- As in 00010, with the names of services resolved: service is canonical.
CREATE OR REPLACE VIEW whence_state.exposure AS
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

-- As in 00010, over the observations of all names of the service.
CREATE OR REPLACE VIEW whence.finding_exposure_of AS
WITH
    (SELECT mapFromArrays(groupArray(name), groupArray(names)) FROM whence.service_names) AS known,
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
LEFT JOIN (SELECT finding_id, service, environment, uniqExactIf(user, user != '') AS users FROM met GROUP BY finding_id, service, environment) AS users
    ON users.finding_id = live.finding_id AND users.service = live.service AND users.environment = live.environment;

-- As in 00005, over the observations of all names of the deployment's service, which is told as the deployment states it.
CREATE OR REPLACE VIEW whence.deployment_impact AS
WITH
(SELECT mapFromArrays(groupArray(name), groupArray(names)) FROM whence.service_names) AS known,
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

-- What could not be placed, since a day: see catalog_unmapped. Parameter since as for catalog_names_since.
CREATE OR REPLACE VIEW whence.catalog_unmapped_since AS
WITH
    names AS (SELECT * FROM whence.catalog_names_since(since = {since:String})),
    listed AS
    (
        SELECT DISTINCT if(meanings.canonical = '', r, meanings.canonical) AS repository
        FROM (SELECT arrayJoin(repositories) AS r FROM whence.services FINAL) AS s
        LEFT JOIN whence_state.meanings AS meanings ON meanings.kind = 'repository' AND meanings.alias = s.r
    ),
    carried AS
    (
        SELECT DISTINCT toString(repository) AS repository
        FROM (SELECT repository, arrayJoin(revisions) AS revision FROM whence.changes FINAL WHERE repository != '')
        WHERE revision IN (SELECT arrayJoin(revisions) FROM whence.deployments FINAL)
    ),
    -- as observations.version_key
    (version -> replaceRegexpOne(version, '^[vV]([0-9])', '\\1')) AS bare,
    (version -> if(
        match(bare(version), '^([0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{8,12})$') AND (length(bare(version)) > 12 OR match(bare(version), '^[0-9]{0,6}[a-f]')),
        substring(bare(version), 1, 7), bare(version))) AS key,
    deployed AS
    (
        SELECT
            if(meanings.canonical = '', d.service, meanings.canonical) AS service,
            arraySort(groupUniqArrayArray(arrayMap(key, arrayFilter(v -> v != '', [d.version, d.previous_version])))) AS versions,
            argMaxIf(d.version, (d.started_at, d.version), d.version != '') AS last
        FROM (SELECT toString(service) AS service, toString(version) AS version, toString(previous_version) AS previous_version, started_at FROM whence.deployments FINAL WHERE service != '') AS d
        LEFT JOIN whence_state.meanings AS meanings ON meanings.kind = 'service' AND meanings.alias = d.service
        GROUP BY service
    )
SELECT kind, name, reason, sources, events, first_seen, last_seen, example_source, example_id
FROM
(
    SELECT
        kind, canonical,
        max(declared) OVER (PARTITION BY kind, canonical) AS is_declared,
        max(has(roles, 'deployment')) OVER (PARTITION BY kind, canonical) AS is_deployed,
        max(has(roles, 'observation')) OVER (PARTITION BY kind, canonical) AS is_observed,
        multiIf(
            is_declared OR is_deployed AND is_observed OR roles = ['alias'], '',
            is_deployed, 'deployed, but nothing observes or declares it',
            is_observed, 'observed, but nothing deploys or declares it',
            'nothing deploys, declares or observes it') AS reason,
        name, sources, events, first_seen, last_seen, example_source, example_id
    FROM names
    WHERE kind = 'service'
    UNION ALL
    SELECT
        kind, canonical, 0, 0, 0,
        if(declared OR canonical IN listed OR name IN carried OR roles = ['alias'], '', 'no service lists it, and no deployment known carries its revisions'),
        name, sources, events, first_seen, last_seen, example_source, example_id
    FROM names
    WHERE kind = 'repository'
)
WHERE reason != ''
UNION ALL
SELECT
    'event', toString(type), unplaced, [toString(source)], count(), min(time), max(time), toString(source), argMax(id, (time, id))
FROM
(
    SELECT source, type, id, time, arrayJoin(splitByString('; ', extensions['unplaced'])) AS unplaced
    FROM whence.other_events FINAL
    WHERE mapContains(extensions, 'unplaced') AND time >= parseDateTimeBestEffort({since:String}, 'UTC')
)
GROUP BY source, type, unplaced
UNION ALL
SELECT
    'version', concat(stated.service, ' ', stated.version),
    concat('no deployment of ', stated.service, ' names this version',
        if(deployed.last = '', '', concat('; the last one deployed is ', deployed.last))),
    sources, events, first_at, last_at, example.1, example.2
FROM
(
    SELECT
        if(meanings.canonical = '', o.service, meanings.canonical) AS service, o.version AS version, arraySort(groupUniqArrayArray(o.sources)) AS sources,
        sum(o.n) AS events, min(o.first_at) AS first_at, max(o.last_at) AS last_at, argMax(o.example, (o.last_at, o.example)) AS example
    FROM
    (
        SELECT
            toString(service) AS service, toString(version) AS version, groupUniqArray(toString(source)) AS sources, count() AS n,
            min(time) AS first_at, max(time) AS last_at, argMax((toString(source), id), (time, source, id)) AS example
        FROM whence.observations FINAL
        WHERE service != '' AND version != ''
            AND toDate(time) >= toDate(parseDateTimeBestEffort({since:String}, 'UTC')) AND time >= parseDateTimeBestEffort({since:String}, 'UTC')
        GROUP BY service, version
    ) AS o
    LEFT JOIN whence_state.meanings AS meanings ON meanings.kind = 'service' AND meanings.alias = o.service
    GROUP BY service, version
) AS stated
INNER JOIN deployed ON deployed.service = stated.service
WHERE NOT has(deployed.versions, key(stated.version));

-- What could not be placed: one row a name or kind of event and reason.
-- kind service: a name that neither service.declared nor both a deployment and observations stand behind, aliases
-- resolved; repository: one that no service lists and no known deployment carries a revision of; event: accepted events
-- (name: their type) that a mapping made no fact of, because something required is not in them: reason says what,
-- version: a service, canonical, and a version that observations state and none of its deployments names, as version or as
-- previous_version, in whatever spelling, though it has deployments.
-- events: how many, example_source and example_id: the last of them.
CREATE OR REPLACE VIEW whence.catalog_unmapped AS
SELECT * FROM whence.catalog_unmapped_since(since = '2000-01-01');

-- +goose Down

DROP VIEW IF EXISTS whence.catalog_unmapped;
DROP VIEW IF EXISTS whence.catalog_unmapped_since;
DROP VIEW IF EXISTS whence.incident_candidates;
DROP VIEW IF EXISTS whence.deployment_impact;
DROP VIEW IF EXISTS whence.finding_exposure_of;
DROP VIEW IF EXISTS whence_state.exposure;
DROP VIEW IF EXISTS whence_state.incident_spans;
DROP VIEW IF EXISTS whence.service_names;
