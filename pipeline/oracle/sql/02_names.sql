-- R5: what each alias of a kind (service, repository) means, by the last fact that speaks of it, for all time.
CREATE OR REPLACE TABLE whence_oracle.meanings ENGINE = Memory AS
SELECT kind, alias, argMax(meaning, place) AS name
FROM
(
    SELECT place, 'service' AS kind, arrayJoin(JSONExtract(data, 'aliases', 'Array(String)')) AS alias, JSONExtractString(data, 'service') AS meaning
    FROM whence_oracle.counted
    WHERE type = 'service.declared'
    UNION ALL
    SELECT place, JSONExtractString(data, 'kind') AS kind, JSONExtractString(data, 'alias') AS alias, JSONExtractString(data, 'canonical') AS meaning
    FROM whence_oracle.counted
    WHERE type = 'identity.declared' AND kind IN ('service', 'repository')
)
WHERE alias != '' AND meaning != '' AND alias != meaning
GROUP BY kind, alias;

-- R6: chains, walked from each alias until a name means nothing else, or comes a second time: then from its first
-- coming on the path is a cycle, and the least name of it counts. Bound: chains of 1,000 links, the engine's
-- max_recursive_cte_evaluation_depth (a longer one is an error, not a wrong answer).
CREATE OR REPLACE TABLE whence_oracle.canonical ENGINE = Memory AS
WITH RECURSIVE walk AS
(
    SELECT kind, alias, alias AS name, [alias] AS path, false AS again
    FROM whence_oracle.meanings
    UNION ALL
    SELECT walk.kind, walk.alias, m.name, arrayPushBack(walk.path, m.name), has(walk.path, m.name)
    FROM walk
    INNER JOIN whence_oracle.meanings AS m ON m.kind = walk.kind AND m.alias = walk.name
    WHERE NOT walk.again
)
SELECT
    kind, alias,
    if(cyclic, arrayMin(arraySlice(path, indexOf(path, path[-1]))), path[-1]) AS name
FROM
(
    SELECT kind, alias, argMax(w.path, length(w.path)) AS path, argMax(w.again, length(w.path)) AS cyclic
    FROM walk AS w
    GROUP BY kind, alias
);

-- R7: the facts that count, with their service names canonical: `service` the one they are of, `services` the list.
CREATE OR REPLACE TABLE whence_oracle.facts ENGINE = Memory AS
WITH
    (SELECT groupArray((alias, name)) FROM (SELECT alias, name FROM whence_oracle.canonical WHERE kind = 'service' UNION ALL SELECT '', '')) AS names,
    s -> transform(s, names.1, names.2, s) AS canonical
SELECT
    place, time, type, data,
    canonical(JSONExtractString(data, 'service')) AS service,
    arrayMap(s -> canonical(s), JSONExtract(data, 'services', 'Array(String)')) AS services,
    JSONExtractString(data, 'environment') AS environment
FROM whence_oracle.counted;

-- Where anybody asks: the services and environments of the observations.
CREATE OR REPLACE TABLE whence_oracle.scopes ENGINE = Memory AS
WITH
    (SELECT groupArray((alias, name)) FROM (SELECT alias, name FROM whence_oracle.canonical WHERE kind = 'service' UNION ALL SELECT '', '')) AS names
SELECT DISTINCT transform(CAST(service, 'String'), names.1, names.2, CAST(service, 'String')) AS service, CAST(environment, 'String') AS environment
FROM whence.events
WHERE service != '' AND {from} <= time AND time < {to} AND type IN
(
    'io.whence.behavior.recorded', 'io.whence.service.measured', 'io.whence.error.occurred',
    'io.whence.experiment.assigned', 'io.whence.experiment.exposed', 'io.whence.user.identified'
);
