-- The entity tables against what the oracle has folded: the columns that the rules speak of, of the other kinds those that
-- people ask for most, and the entities that only one side has ("row"). Services are stored as stated, so they are made
-- canonical before they are compared. Times are milliseconds, `null` where there is none. What was derived at a later
-- revision than {at} may know better.
INSERT INTO whence_oracle.differences
WITH
    (SELECT groupArray((alias, name)) FROM (SELECT alias, name FROM whence_oracle.canonical WHERE kind = 'service' UNION ALL SELECT '', '')) AS names,
    s -> transform(s, names.1, names.2, s) AS canonical,
    moment -> if(moment IN (0, 9223372036854775807), 'null', toString(moment)) AS when,
    moment -> ifNull(toString(toUnixTimestamp64Milli(moment)), 'null') AS stored_when,
    (field -> argMaxIf(JSONExtractString(data, field), place, JSONExtractString(data, field) != '')) AS said,
sides AS
(
    SELECT
        'deployments' AS entity, deployment_id AS id, e.here AS expected_here, s.here AS stored_here, s.revision > {at} AS newer,
        [
            ('service', e.service, canonical(CAST(s.service, 'String'))),
            ('environment', e.environment, CAST(s.environment, 'String')),
            ('version', e.version, CAST(s.version, 'String')),
            ('previous_version', e.previous_version, CAST(s.previous_version, 'String')),
            ('revisions', toString(arraySort(arrayFilter(r -> r != '', e.revisions))), toString(arraySort(arrayFilter(r -> r != '', s.revisions)))),
            ('instances_added', toString(arraySort(arrayFilter(r -> r != '', e.instances))), toString(arraySort(arrayFilter(r -> r != '', s.instances_added)))),
            ('started_at', when(e.started), stored_when(s.started_at)),
            ('ended_at', when(e.ended), stored_when(s.ended_at)),
            ('completed_at', when(e.completed), stored_when(s.completed_at)),
            ('failed_at', when(e.failed), stored_when(s.failed_at))
        ] AS pairs
    FROM (SELECT true AS here, * FROM whence_oracle.deployments) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.deployments FINAL WHERE service != '') AS s USING (deployment_id)
    UNION ALL
    SELECT
        'incidents', incident_id, e.here, s.here, s.revision > {at},
        [
            ('services', toString(arraySort(e.services)), toString(arraySort(arrayDistinct(arrayMap(name -> canonical(name), s.services))))),
            ('environment', e.environment, CAST(s.environment, 'String')),
            ('started_at', when(e.onset), stored_when(s.started_at)),
            ('reopened', toString(e.reopened), toString(s.reopened))
        ]
    FROM
    (
        SELECT true AS here, i.*, p.reopened AS reopened
        FROM whence_oracle.incidents AS i
        INNER JOIN (SELECT incident_id, max(episode) AS reopened FROM whence_oracle.incident_facts GROUP BY incident_id) AS p
            ON p.incident_id = i.incident_id
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.incidents FINAL) AS s USING (incident_id)
    UNION ALL
    SELECT
        'findings', finding_id, e.here, s.here, s.revision > {at},
        [
            ('service', e.service, canonical(CAST(s.service, 'String'))),
            ('environment', e.environment, CAST(s.environment, 'String')),
            ('repository', e.repository, CAST(s.repository, 'String')),
            ('revision_introduced', e.revision_introduced, s.revision_introduced),
            ('closed_at', when(e.until), stored_when(s.closed_at)),
            ('reopened', toString(e.reopened), toString(s.reopened))
        ]
    FROM (SELECT true AS here, * FROM whence_oracle.findings) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.findings FINAL) AS s USING (finding_id)
    UNION ALL
    SELECT
        'services', concat(environment, '/', service), e.here, s.here, s.revision > {at},
        [
            ('owner', e.owner, CAST(s.owner, 'String')),
            ('tier', e.tier, CAST(s.tier, 'String')),
            ('depends_on', toString(e.depends_on), toString(s.depends_on))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'service') AS service, JSONExtractString(data, 'environment') AS environment,
            said('owner') AS owner,
            said('tier') AS tier,
            argMaxIf(JSONExtract(data, 'depends_on', 'Array(String)'), place, JSONHas(data, 'depends_on')) AS depends_on
        FROM whence_oracle.counted
        WHERE type IN ('service.declared')
        GROUP BY service, environment
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.services FINAL) AS s USING (service, environment)
    UNION ALL
    SELECT
        'changes', change_id, e.here, s.here, s.revision > {at},
        [
            ('repository', e.repository, CAST(s.repository, 'String')),
            ('merged_revision', e.merged_revision, CAST(s.merged_revision, 'String')),
            ('revisions', toString(e.revisions), toString(s.revisions)),
            ('changed_at', when(e.changed_at), stored_when(s.changed_at))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'change_id') AS change_id,
            said('repository') AS repository,
            said('revision') AS merged_revision,
            arraySort(arrayFilter(r -> r != '', groupUniqArrayArray(arrayPushBack(arrayMap(c -> JSONExtractString(c, 'revision'), JSONExtractArrayRaw(data, 'commits')), JSONExtractString(data, 'revision'))))) AS revisions,
            ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(upper(said('merged_at')), 3, 'UTC')), min(time)) AS changed_at
        FROM whence_oracle.counted
        WHERE type IN ('change.merged', 'configuration.changed', 'migration.applied', 'infrastructure.changed')
        GROUP BY change_id
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.changes FINAL) AS s USING (change_id)
    UNION ALL
    SELECT
        'flags', concat(environment, '/', flag), e.here, s.here, s.revision > {at},
        [
            ('rules', e.rules, CAST(s.rules, 'String')),
            ('changed_by', e.changed_by, CAST(s.changed_by, 'String')),
            ('changed_at', when(e.changed_at), stored_when(s.changed_at))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'flag') AS flag, JSONExtractString(data, 'environment') AS environment,
            argMaxIf(JSONExtractRaw(data, 'rules'), place, JSONType(data, 'rules') != 'Null') AS rules,
            said('changed_by') AS changed_by,
            max(time) AS changed_at
        FROM whence_oracle.counted
        WHERE type IN ('flag.changed')
        GROUP BY flag, environment
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.flags FINAL) AS s USING (flag, environment)
    UNION ALL
    SELECT
        'alerts', alert_id, e.here, s.here, s.revision > {at},
        [
            ('service', e.service, CAST(s.service, 'String')),
            ('environment', e.environment, CAST(s.environment, 'String')),
            ('severity', e.severity, CAST(s.severity, 'String')),
            ('fired_at', when(e.fired_at), stored_when(s.fired_at)),
            ('resolved_at', when(e.resolved_at), stored_when(s.resolved_at))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'alert_id') AS alert_id,
            said('service') AS service,
            said('environment') AS environment,
            said('severity') AS severity,
            minIf(time, type = 'alert.fired') AS fired_at,
            minIf(time, type = 'alert.resolved') AS resolved_at
        FROM whence_oracle.counted
        WHERE type IN ('alert.fired', 'alert.resolved')
        GROUP BY alert_id
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.alerts FINAL) AS s USING (alert_id)
    UNION ALL
    SELECT
        'breaches', breach_id, e.here, s.here, s.revision > {at},
        [
            ('service', e.service, CAST(s.service, 'String')),
            ('environment', e.environment, CAST(s.environment, 'String')),
            ('severity', e.severity, CAST(s.severity, 'String')),
            ('finding_id', e.finding_id, s.finding_id),
            ('started_at', when(e.started_at), stored_when(s.started_at)),
            ('detected_at', when(e.detected_at), stored_when(s.detected_at)),
            ('contained_at', when(e.contained_at), stored_when(s.contained_at))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'breach_id') AS breach_id,
            said('service') AS service,
            said('environment') AS environment,
            said('severity') AS severity,
            said('finding_id') AS finding_id,
            minIf(time, type = 'breach.detected') AS detected_at,
            minIf(time, type = 'breach.contained') AS contained_at,
            ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(upper(said('started_at')), 3, 'UTC')),
                if(detected_at = 0, min(time), detected_at)) AS started_at
        FROM whence_oracle.counted
        WHERE type IN ('breach.detected', 'breach.contained')
        GROUP BY breach_id
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.breaches FINAL) AS s USING (breach_id)
    UNION ALL
    SELECT
        'experiments', experiment, e.here, s.here, s.revision > {at},
        [
            ('hypothesis', e.hypothesis, CAST(s.hypothesis, 'String')),
            ('started_at', when(e.started_at), stored_when(s.started_at)),
            ('stopped_at', when(e.stopped_at), stored_when(s.stopped_at))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'experiment') AS experiment,
            said('hypothesis') AS hypothesis,
            minIf(time, type = 'experiment.started') AS started_at,
            minIf(time, type = 'experiment.stopped') AS stopped_at
        FROM whence_oracle.counted
        WHERE type IN ('experiment.started', 'experiment.stopped')
        GROUP BY experiment
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.experiments FINAL) AS s USING (experiment)
    UNION ALL
    SELECT
        'builds', build_id, e.here, s.here, s.revision > {at},
        [
            ('outcome', e.outcome, CAST(s.outcome, 'String')),
            ('built_revision', e.built_revision, CAST(s.built_revision, 'String'))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'build_id') AS build_id,
            said('outcome') AS outcome,
            said('revision') AS built_revision
        FROM whence_oracle.counted
        WHERE type IN ('build.finished')
        GROUP BY build_id
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.builds FINAL) AS s USING (build_id)
    UNION ALL
    SELECT
        'tests', concat(run_id, ' ', suite, ' ', case), e.here, s.here, s.revision > {at},
        [
            ('outcome', e.outcome, CAST(s.outcome, 'String')),
            ('tested_revision', e.tested_revision, CAST(s.tested_revision, 'String'))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'run_id') AS run_id, JSONExtractString(data, 'suite') AS suite, JSONExtractString(data, 'case') AS case,
            said('outcome') AS outcome,
            said('revision') AS tested_revision
        FROM whence_oracle.counted
        WHERE type IN ('test.finished')
        GROUP BY run_id, suite, case
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.tests FINAL) AS s USING (run_id, suite, case)
    UNION ALL
    SELECT
        'artifacts', artifact, e.here, s.here, s.revision > {at},
        [
            ('built_revision', e.built_revision, CAST(s.built_revision, 'String')),
            ('published_at', when(e.published_at), stored_when(s.published_at))
        ]
    FROM
    (
        SELECT
            true AS here, JSONExtractString(data, 'artifact') AS artifact,
            said('revision') AS built_revision,
            min(time) AS published_at
        FROM whence_oracle.counted
        WHERE type IN ('artifact.published')
        GROUP BY artifact
    ) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.artifacts FINAL) AS s USING (artifact)
)
SELECT {round}, 'entities', concat(entity, ' ', id) AS item, concat(entity, '.', pair.1), newer, item, left(pair.2, 1000), left(pair.3, 1000)
FROM sides
ARRAY JOIN multiIf(
    NOT expected_here, [('row', 'absent', 'stored')],
    NOT stored_here, [('row', 'expected', 'absent')],
    arrayFilter(p -> p.2 != p.3, pairs)) AS pair;
