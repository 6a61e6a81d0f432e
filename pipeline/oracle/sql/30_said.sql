-- Which entity each fact speaks of, by its table and key, and what it says, field by field, as JSON; of a finding also what
-- scans list of it (R30). `what` is the type, of a finding how it stands. `stage` is of deployments, whose stages come before
-- the clock (R8), and `number` tells the listings of one fact apart.
CREATE OR REPLACE VIEW whence_oracle.about AS
WITH (field -> JSONExtractString(data, field)) AS own
SELECT
    transform(
        splitByChar('.', type)[1],
        ['service', 'change', 'configuration', 'migration', 'infrastructure', 'deployment', 'flag', 'alert', 'incident', 'finding',
            'experiment', 'build', 'test', 'artifact', 'breach'],
        ['services', 'changes', 'changes', 'changes', 'changes', 'deployments', 'flags', 'alerts', 'incidents', 'findings',
            'experiments', 'builds', 'tests', 'artifacts', 'breaches'],
        '') AS entity,
    multiIf(
        entity = 'services', [own('environment'), own('service')],
        entity = 'flags', [own('environment'), own('flag')],
        entity = 'tests', [own('run_id'), own('suite'), own('case')],
        entity IN ('artifacts', 'experiments'), [own(substring(entity, 1, length(entity) - 1))],
        entity = 'breaches', [own('breach_id')],
        [own(concat(substring(entity, 1, length(entity) - 1), '_id'))]) AS key,
    place, toUInt64(0) AS number, indexOf(['deployment.started', 'deployment.progressed', 'deployment.finished'], type) AS stage,
    time, type, source, id, content_hash,
    if(entity = 'findings', replaceOne(type, 'finding.', ''), type) AS what,
    JSONExtractKeysAndValuesRaw(data) AS fields
FROM whence_oracle.counted
WHERE entity != ''
UNION ALL
SELECT
    'findings', [JSONExtractString(listing, 'finding_id')], place, number, 0, time, 'scan.completed', source, id, content_hash,
    multiIf(JSONExtractString(listing, 'status') IN ('accepted', 'remediated'), JSONExtractString(listing, 'status'), 'opened'),
    arrayConcat(stated, arrayFilter(f -> NOT has(stated.1, f.1), common))
FROM
(
    SELECT *, listing, number, arrayFilter(f -> f.2 != '""', JSONExtractKeysAndValuesRaw(listing)) AS stated
    FROM
    (
        SELECT
            place, time, source, id, content_hash, JSONExtractArrayRaw(data, 'findings') AS listings,
            arrayFilter(f -> f.1 IN ('service', 'environment', 'repository', 'artifact'), JSONExtractKeysAndValuesRaw(data)) AS common
        FROM whence_oracle.counted
        WHERE type = 'scan.completed'
    )
    ARRAY JOIN listings AS listing, arrayEnumerate(listings) AS number
);

-- What is said last of each field of each entity: at all, and other than nothing; and every value, or member of a list,
-- that was ever said.
CREATE OR REPLACE TABLE whence_oracle.sayings ENGINE = Memory AS
SELECT
    entity, key,
    mapFromArrays(groupArray(field) AS names, groupArray(last)) AS last,
    mapFromArrays(names, groupArray(stated)) AS stated,
    mapFromArrays(names, groupArray(every)) AS every
FROM
(
    SELECT
        entity, key, one.1 AS field,
        argMax(one.2, (place, number)) AS last,
        argMaxIf(one.2, (stage, place, number), one.2 NOT IN ('""', '[]')) AS stated,
        groupUniqArrayArray(if(startsWith(one.2, '['), JSONExtractArrayRaw(one.2), [one.2])) AS every
    FROM whence_oracle.about
    ARRAY JOIN fields AS one
    GROUP BY entity, key, field
)
GROUP BY entity, key;

-- The facts of each entity: how many, the last of them and the services that it names, and of each `what` the first, the last
-- and how many.
CREATE OR REPLACE TABLE whence_oracle.members ENGINE = Memory AS
SELECT
    entity, key, sum(m.many) AS facts, sum(m.listed) AS sightings, argMax(m.last, m.greatest) AS last, min(m.earliest) AS began,
    mapFromArrays(groupArray(what) AS names, groupArray(earliest)) AS first,
    mapFromArrays(names, groupArray(latest)) AS latest,
    mapFromArrays(names, groupArray(many)) AS many
FROM
(
    SELECT
        entity, key, what, count() AS many, countIf(number > 0) AS listed, min(time) AS earliest, max(time) AS latest, max((place, number)) AS greatest,
        argMax((source, id, concat('io.whence.', type), time, arrayFirst(f -> f.1 = 'services', fields).2), (place, number)) AS last
    FROM whence_oracle.about
    GROUP BY entity, key, what
) AS m
GROUP BY entity, key;

-- What the entity tables must hold: every column but where a fact was read and at which revision the row was derived, as a
-- JSON object.
CREATE OR REPLACE TABLE whence_oracle.folded (entity LowCardinality(String), key Array(String), said String) ENGINE = Memory;

CREATE OR REPLACE VIEW whence_oracle.entities AS
SELECT
    m.entity AS entity, m.key AS key, m.facts AS facts, m.sightings AS sightings, m.last AS last_fact, m.began AS began,
    m.first AS first, m.latest AS latest, m.many AS many, s.last AS last, s.stated AS stated, s.every AS every
FROM whence_oracle.members AS m
INNER JOIN whence_oracle.sayings AS s ON s.entity = m.entity AND s.key = m.key;
