-- +goose Up

-- One name for one thing: which names tools use, what they mean, and which of them nothing is known of; and what follows
-- from names for merged changes: whose they are, and when they arrived. Nothing is stored for these views, so an alias or
-- a declaration that comes late corrects what they say of the past.

-- Every mention of a name by a fact that counts: one row a name, what it is used as (role) and event. A label of an alert
-- that says what it is about is a mention, and so is what is left of a pod's name without the suffixes that Kubernetes
-- gives it: the workload.
CREATE OR REPLACE VIEW whence_state.fact_mentions AS
WITH
    (field -> JSONExtractString(data, field)) AS word,
    (field -> JSONExtract(data, field, 'Array(String)')) AS list,
    transform(entity_kind, ['service'], ['declaration'], toString(entity_kind)) AS use,
    JSONExtract(data, 'labels', 'Map(String, String)') AS labels,
    '^(.+)-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$' AS pod
SELECT kind, name, role, source, id, type, time FROM
(
    SELECT
        source, id, type, time,
        arrayJoin(arrayDistinct(arrayConcat(
            [('service', service, use)],
            arrayMap(s -> ('service', s, use), list('services')),
            arrayMap(s -> ('service', s, 'dependency'), list('depends_on')),
            arrayMap(s -> ('service', s, 'alias'), list('aliases')),
            if(entity_kind = 'identity', [(word('kind'), word('alias'), 'alias'), (word('kind'), word('canonical'), 'alias')], []),
            arrayMap(l -> ('service', labels[l], 'label'), ['service', 'app', 'job', 'app_kubernetes_io_name']),
            arrayMap(l -> ('service', labels[l], 'workload'), ['deployment', 'statefulset', 'daemonset', 'workload']),
            arrayMap(i -> ('service', extract(i, pod), 'workload'), arrayPushBack(list('instances_added'), word('instance'))),
            [('repository', word('repository'), use)],
            arrayMap(r -> ('repository', r, use), list('repositories')),
            arrayMap(f -> ('person', if(entity_kind = 'identity', '', word(f)), use), ['author', 'changed_by', 'requested_by', 'by', 'signed_by']),
            arrayMap(c -> ('person', JSONExtractString(c, 'author'), 'commit'), JSONExtractArrayRaw(data, 'commits')),
            if(entity_kind = 'team', arrayMap(m -> ('person', m, 'member'), list('members')), [])))) AS mention,
        mention.1 AS kind, mention.2 AS name, mention.3 AS role
    FROM whence_state.entity_facts
    WHERE live
)
WHERE name != '' AND kind IN ('service', 'repository', 'person');

-- The names that are used since a day, with what they mean: see catalog_names. Parameter since: 2026-11-26, or a time; only
-- observations are bounded by it, of which it reads those columns that are in the key.
CREATE OR REPLACE VIEW whence.catalog_names_since AS
SELECT
    uses.kind AS kind, uses.name AS name,
    if(meanings.canonical = '', uses.name, meanings.canonical) AS canonical,
    toBool(has(roles, if(uses.kind = 'person', 'member', 'declaration'))) AS declared,
    arraySort(groupUniqArrayArray(uses.roles)) AS roles,
    arraySort(groupUniqArrayArray(uses.sources)) AS sources,
    min(uses.first_at) AS first_seen, max(uses.last_at) AS last_seen, sum(uses.events) AS events,
    argMax(uses.example, (uses.last_at, uses.example)).1 AS example_source, argMax(uses.example, (uses.last_at, uses.example)).2 AS example_id
FROM
(
    SELECT
        kind, name, groupUniqArray(role) AS roles, groupUniqArray(source) AS sources, min(time) AS first_at, max(time) AS last_at,
        uniqExact(source, id, type) AS events, argMax((source, id), (time, source, id)) AS example
    FROM whence_state.fact_mentions
    GROUP BY kind, name
    UNION ALL
    SELECT
        'service', toString(service), ['observation'], groupUniqArray(toString(source)), min(time), max(time), count(),
        argMax((toString(source), id), (time, source, id))
    FROM whence.observations FINAL
    WHERE service != '' AND toDate(time) >= toDate(parseDateTimeBestEffort({since:String}, 'UTC')) AND time >= parseDateTimeBestEffort({since:String}, 'UTC')
    GROUP BY service
    UNION ALL
    SELECT 'service', extract(toString(instance), '^(.+)-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$') AS workload,
        ['workload'], groupUniqArray(toString(source)), min(time), max(time), count(), argMax((toString(source), id), (time, source, id))
    FROM whence.observations FINAL
    WHERE instance != '' AND toDate(time) >= toDate(parseDateTimeBestEffort({since:String}, 'UTC')) AND time >= parseDateTimeBestEffort({since:String}, 'UTC')
    GROUP BY workload
    HAVING workload != ''
    UNION ALL
    SELECT
        'service', toString(arrayJoin([caller, callee])) AS name, ['call'], [], toDateTime64(min(hour), 3, 'UTC'), toDateTime64(max(hour), 3, 'UTC'), 0, ('', '')
    FROM whence_state.edges
    WHERE hour >= toStartOfHour(parseDateTimeBestEffort({since:String}, 'UTC'))
    GROUP BY name
) AS uses
LEFT JOIN whence_state.meanings AS meanings ON meanings.kind = uses.kind AND meanings.alias = uses.name
GROUP BY uses.kind, uses.name, meanings.canonical;

-- Every name that events use: one row a kind (service, repository, person) and name.
-- canonical: what it means (identity.declared, service.declared.aliases), itself where nothing says. declared: whether
-- service.declared is of it (of a repository: lists it; of a person: team.declared has it as a member).
-- roles: what it is used as: declaration, deployment, observation, incident, alert, finding, flag, change, build, workload,
-- label (of an alert), dependency, call, alias, ... sources: whose events use it; a service that only others call has none.
-- events: how many, observations and facts alike. example_source, example_id: the last of them.
CREATE OR REPLACE VIEW whence.catalog_names AS
SELECT * FROM whence.catalog_names_since(since = '2000-01-01');

-- Whose repositories and paths are whose: one row a repository and a path in it, with the service that declares both.
-- An empty path is the whole repository. Names are canonical; expression: what matches a changed path, length: how many
-- segments it has.
CREATE OR REPLACE VIEW whence_state.path_owners AS
SELECT
    if(repository_name.canonical = '', s.repository, repository_name.canonical) AS repository,
    if(service_name.canonical = '', s.service, service_name.canonical) AS service,
    s.path AS path,
    if(path = '', '', concat('^', replaceAll(replaceAll(replaceAll(replaceAll(replaceAll(replaceAll(
        replaceRegexpAll(path, '[\\]\\[.+(){}|^$\\\\]', '\\\\\\0'), '?', '[^/]'), '**/', '\x01'), '**', '\x02'), '*', '[^/]*'),
        '\x01', '(?:.*/)?'), '\x02', '.*'), '(?:/|$)')) AS expression,
    if(path = '', 0, length(splitByChar('/', path))) AS length
FROM
(
    SELECT DISTINCT
        service, arrayJoin(repositories) AS repository,
        replaceRegexpAll(arrayJoin(if(empty(paths), [''], paths)), '^[.]?/+|(?:/[*]*)+$', '') AS path
    FROM whence.services FINAL
) AS s
LEFT JOIN whence_state.meanings AS repository_name ON repository_name.kind = 'repository' AND repository_name.alias = s.repository
LEFT JOIN whence_state.meanings AS service_name ON service_name.kind = 'service' AND service_name.alias = s.service;

-- Whose a change is: one row a change and service, canonical. found_by: 'stated' (the change names it) or 'paths': the
-- catalog's service.declared lists the change's repository, and one of its paths claims a path that the change touches.
-- Of the services that claim a path, the one with the longest claim, in segments, has it; a service that lists the
-- repository and no paths claims everything in it, at length 0. A claim is a path's beginning, whole segments; * is
-- anything in a segment, ** any segments. A change that says no paths is of the services that claim all of the repository.
-- A path meets the claims that are written out by its own beginnings, so that a monorepo's thousand claims cost no more than
-- ten; only those with * and ? are tried one by one.
CREATE OR REPLACE VIEW whence.change_services AS
WITH touched AS
(
    SELECT DISTINCT
        change_id, if(meanings.canonical = '', touching.repository, meanings.canonical) AS repository,
        replaceRegexpOne(arrayJoin(if(empty(paths), [''], paths)), '^[.]?/+', '') AS changed
    FROM (SELECT change_id, toString(repository) AS repository, paths FROM whence.changes FINAL WHERE kind = 'change.merged' AND repository != '') AS touching
    LEFT JOIN whence_state.meanings AS meanings ON meanings.kind = 'repository' AND meanings.alias = touching.repository
)
SELECT change_id, service, min(how) AS found_by FROM
(
    SELECT
        change_id, if(meanings.canonical = '', stated.service, meanings.canonical) AS service, 'stated' AS how
    FROM (SELECT change_id, arrayJoin(services) AS service FROM whence.changes FINAL) AS stated
    LEFT JOIN whence_state.meanings AS meanings ON meanings.kind = 'service' AND meanings.alias = stated.service
    UNION ALL
    SELECT change_id, arrayJoin(owners) AS service, 'paths'
    FROM
    (
        SELECT change_id, changed, groupArray((length, service)) AS claims,
            arrayMap(c -> c.2, arrayFilter(c -> c.1 = arrayMax(d -> d.1, claims), claims)) AS owners
        FROM
        (
            SELECT change.change_id AS change_id, change.changed AS changed, owner.length AS length, owner.service AS service
            FROM
            (
                SELECT *, splitByChar('/', changed) AS segments,
                    arrayJoin(arrayDistinct(arrayMap(n -> arrayStringConcat(arraySlice(segments, 1, n), '/'), range(length(segments) + 1)))) AS beginning
                FROM touched
            ) AS change
            INNER JOIN whence_state.path_owners AS owner ON owner.repository = change.repository AND owner.path = change.beginning
            UNION ALL
            SELECT change.change_id, change.changed, owner.length, owner.service
            FROM touched AS change
            INNER JOIN (SELECT * FROM whence_state.path_owners WHERE multiSearchAny(path, ['*', '?'])) AS owner ON owner.repository = change.repository
            WHERE startsWith(changed, extract(owner.path, '^[^*?]*')) AND match(changed, owner.expression)
        )
        GROUP BY change_id, changed
    )
)
WHERE service != ''
GROUP BY change_id, service;

-- Which change shipped where and when: one row a merged change and a deployment that carries one of its revisions; a
-- change that none carries has one row whose deployment_id is empty. A change of which a deployment is there that
-- failed or goes on has no deployed_at. author is canonical; change_services says whose a change is that is nowhere.
-- arrived: the change came into the service's environment with this deployment, the first that completed there with it.
-- Of the first deployment known there that is not certain: what it replaced is not known, and a change merged over a
-- week before may have been there long since, so it has not arrived with it (whoever begins to collect deployments today
-- would else see all that is old arrive today). Where it arrived, lead time is in hours, from the first commit where
-- commits say when they were written, else from the merge, to deployed_at, the deployment's completion.
CREATE OR REPLACE VIEW whence.shipped AS
SELECT
    changes.change_id AS change_id, toString(changes.repository) AS repository, changes.title AS title,
    if(people.canonical = '', toString(changes.author), people.canonical) AS author,
    carriers.deployment_id AS deployment_id, carriers.service AS service,
    carriers.environment AS environment, carriers.version AS version,
    changes.changed_at AS merged_at, changes.first_authored_at AS first_authored_at,
    carriers.completed_at AS deployed_at, carriers.state AS state,
    toBool(ifNull(carriers.nth = 1 AND deployed_at IS NOT NULL
        AND NOT (carriers.deployment_id = carriers.first_known AND carriers.previous_version = ''
            AND merged_at < carriers.started_at - INTERVAL 7 DAY), false)) AS arrived,
    if(arrived, dateDiff('millisecond', ifNull(first_authored_at, merged_at), deployed_at) / 3600000, NULL) AS lead_time_hours
FROM (SELECT * FROM whence.changes FINAL WHERE kind = 'change.merged') AS changes
LEFT JOIN
(
    SELECT
        *, row_number() OVER (PARTITION BY change_id, service, environment ORDER BY completed_at IS NULL, completed_at, deployment_id) AS nth
    FROM
    (
        SELECT DISTINCT merged.change_id AS change_id, carrying.* EXCEPT (carried)
        FROM (SELECT change_id, arrayJoin(revisions) AS carried FROM whence.changes FINAL WHERE kind = 'change.merged') AS merged
        INNER JOIN
        (
            SELECT
                deployment_id, if(meanings.canonical = '', toString(d.service), meanings.canonical) AS service,
                toString(environment) AS environment, toString(version) AS version, toString(previous_version) AS previous_version,
                toString(state) AS state, started_at, completed_at, arrayJoin(revisions) AS carried,
                argMinIf(deployment_id, (started_at, deployment_id), completed_at IS NOT NULL) OVER (PARTITION BY service, environment) AS first_known
            FROM (SELECT * FROM whence.deployments FINAL) AS d
            LEFT JOIN whence_state.meanings AS meanings ON meanings.kind = 'service' AND meanings.alias = d.service
        ) AS carrying ON carrying.carried = merged.carried
    )
) AS carriers ON carriers.change_id = changes.change_id
LEFT JOIN whence_state.meanings AS people ON people.kind = 'person' AND people.alias = toString(changes.author);

-- Which names were refused to mean others: identity.declared that a name means itself, which says nothing of names (R5),
-- and in its field `not` what it was proposed to mean. Whoever proposes leaves these out.
CREATE OR REPLACE VIEW whence_state.refusals AS
SELECT DISTINCT JSONExtractString(data, 'kind') AS kind, entity_id AS alias, JSONExtractString(data, 'not') AS canonical
FROM whence_state.entity_facts
WHERE entity_kind = 'identity' AND live AND JSONExtractString(data, 'canonical') = entity_id AND canonical != '';

-- What could not be placed, since a day: see catalog_unmapped. Parameter since as for catalog_names_since.
CREATE OR REPLACE VIEW whence.catalog_unmapped_since AS
WITH
    names AS (SELECT * FROM whence.catalog_names_since(since = {since:String})),
    replaceOne(toString(parseDateTimeBestEffort({since:String}, 'UTC')), ' 00:00:00', '') AS looked,
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
    (version -> multiIf(
        match(version, '^(sha|git)-([0-9a-f]{7,12}|[0-9a-f]{40}|[0-9a-f]{64})$'),
        substring(version, 5, 7),
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
            is_deployed, concat('deployed, but not declared, nor observed since ', looked),
            is_observed, 'observed, but nothing deploys or declares it',
            concat('not deployed or declared, nor observed since ', looked)) AS reason,
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
DROP VIEW IF EXISTS whence_state.refusals;
DROP VIEW IF EXISTS whence.shipped;
DROP VIEW IF EXISTS whence.change_services;
DROP VIEW IF EXISTS whence_state.path_owners;
DROP VIEW IF EXISTS whence.catalog_names;
DROP VIEW IF EXISTS whence.catalog_names_since;
DROP VIEW IF EXISTS whence_state.fact_mentions;
