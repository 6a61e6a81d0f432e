-- The entity tables against what the oracle has folded: for deployments, incidents and findings the columns that the
-- rules speak of, and the entities that only one side has ("row"). Services are stored as stated, so they are made
-- canonical before they are compared. Times are milliseconds, `null` where there is none.
WITH
    (SELECT groupArray((alias, name)) FROM (SELECT alias, name FROM whence_oracle.canonical UNION ALL SELECT '', '')) AS names,
    s -> transform(s, names.1, names.2, s) AS canonical,
    moment -> if(moment IN (0, 9223372036854775807), 'null', toString(moment)) AS when,
    moment -> ifNull(toString(toUnixTimestamp64Milli(moment)), 'null') AS stored_when,
columns AS
(
    SELECT arrayJoin([
        'deployments.row', 'deployments.service', 'deployments.environment', 'deployments.version', 'deployments.previous_version',
        'deployments.revisions', 'deployments.instances_added', 'deployments.started_at', 'deployments.ended_at',
        'deployments.completed_at', 'deployments.failed_at',
        'incidents.row', 'incidents.services', 'incidents.environment', 'incidents.started_at', 'incidents.reopened',
        'findings.row', 'findings.service', 'findings.environment', 'findings.repository', 'findings.revision_introduced',
        'findings.closed_at']) AS name
),
sides AS
(
    SELECT
        'deployments' AS entity, deployment_id AS id, e.here AS expected_here, s.here AS stored_here,
        [
            ('service', e.service, canonical(CAST(s.service, 'String'))),
            ('environment', e.environment, CAST(s.environment, 'String')),
            ('version', e.version, CAST(s.version, 'String')),
            ('previous_version', e.previous_version, CAST(s.previous_version, 'String')),
            ('revisions', toString(arraySort(arrayFilter(r -> r != '', e.revisions))), toString(arraySort(s.revisions))),
            ('instances_added', toString(arraySort(arrayFilter(r -> r != '', e.instances))), toString(arraySort(s.instances_added))),
            ('started_at', when(e.started), stored_when(s.started_at)),
            ('ended_at', when(e.ended), stored_when(s.ended_at)),
            ('completed_at', when(e.completed), stored_when(s.completed_at)),
            ('failed_at', when(e.failed), stored_when(s.failed_at))
        ] AS pairs
    FROM (SELECT true AS here, * FROM whence_oracle.deployments) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.deployments FINAL) AS s USING (deployment_id)
    UNION ALL
    SELECT
        'incidents', incident_id, e.here, s.here,
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
        'findings', finding_id, e.here, s.here,
        [
            ('service', e.service, canonical(CAST(s.service, 'String'))),
            ('environment', e.environment, CAST(s.environment, 'String')),
            ('repository', e.repository, CAST(s.repository, 'String')),
            ('revision_introduced', e.revision_introduced, s.revision_introduced),
            ('closed_at', when(e.until), stored_when(s.closed_at))
        ]
    FROM (SELECT true AS here, * FROM whence_oracle.findings) AS e
    FULL OUTER JOIN (SELECT true AS here, * FROM whence.findings FINAL) AS s USING (finding_id)
)
SELECT
    c.name AS column,
    countIf(d.row != '') AS differing,
    groupArrayIf(3)(CAST((d.row, d.expected, d.stored), 'Tuple(row String, expected String, stored String)'), d.row != '') AS examples
FROM columns AS c
LEFT JOIN
(
    SELECT id AS row, concat(entity, '.', pair.1) AS name, pair.2 AS expected, pair.3 AS stored
    FROM sides
    ARRAY JOIN multiIf(
        NOT expected_here, [('row', 'absent', 'stored')],
        NOT stored_here, [('row', 'expected', 'absent')],
        arrayFilter(p -> p.2 != p.3, pairs)) AS pair
) AS d ON d.name = c.name
GROUP BY column
ORDER BY indexOf((SELECT groupArray(name) FROM columns), column)
FORMAT JSONEachRow
