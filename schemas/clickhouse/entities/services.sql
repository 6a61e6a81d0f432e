-- services: one row a service in an environment.
INSERT INTO whence.services
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(JSONExtract(data, field, 'Array(String)'), ord, notEmpty(JSONExtract(data, field, 'Array(String)')))) AS list,
    (field -> arraySort(groupUniqArrayArray(JSONExtract(data, field, 'Array(String)')))) AS every
SELECT
    entity_id AS service,
    environment,
    said('owner') AS owner,
    said('tier') AS tier,
    argMaxIf(JSONExtract(data, 'depends_on', 'Array(String)'), ord, JSONHas(data, 'depends_on')) AS depends_on,
    list('repositories') AS repositories,
    list('paths') AS paths,
    every('aliases') AS aliases,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'service' AND entity_id IN ({touched})
GROUP BY entity_id, environment
