-- changes: one row a change: merged code, configuration, a migration, infrastructure.
INSERT INTO whence.changes
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(parseDateTime64BestEffortOrNull(upper(JSONExtractString(data, field)), 3, 'UTC'), ord, JSONExtractString(data, field) != '')) AS moment,
    (field -> argMaxIf(JSONExtract(data, field, 'Nullable(Float64)'), ord, JSONExtract(data, field, 'Nullable(Float64)') IS NOT NULL)) AS number,
    (field -> argMaxIf(JSONExtract(data, field, 'Array(String)'), ord, notEmpty(JSONExtract(data, field, 'Array(String)')))) AS list,
    (field -> argMaxIf(JSONExtractRaw(data, field), ord, JSONType(data, field) != 'Null')) AS raw
SELECT
    entity_id AS change_id,
    replaceOne(last.3, 'io.whence.', '') AS kind,
    said('repository') AS repository,
    said('revision') AS merged_revision,
    arraySort(arrayFilter(r -> r != '', arrayDistinct(arrayConcat(
        groupUniqArray(JSONExtractString(data, 'revision')),
        groupUniqArrayArray(arrayMap(c -> JSONExtractString(c, 'revision'), JSONExtractArrayRaw(data, 'commits'))))))) AS revisions,
    if(said('title') != '', said('title'), said('summary')) AS title,
    if(said('author') != '', said('author'), said('changed_by')) AS author,
    arraySort(arrayFilter(s -> s != '', arrayDistinct(arrayPushBack(list('services'), said('service'))))) AS services,
    said('environment') AS environment,
    list('paths') AS paths,
    number('size') AS size,
    said('reverts') AS reverts,
    raw('scope') AS scope,
    arrayReduce('minOrNull', groupUniqArrayArray(arrayMap(
        c -> parseDateTime64BestEffortOrNull(upper(JSONExtractString(c, 'authored_at')), 3, 'UTC'), JSONExtractArrayRaw(data, 'commits')))) AS first_authored_at,
    ifNull(moment('merged_at'), minIf(time, live)) AS changed_at,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'change' AND entity_id IN ({touched})
GROUP BY entity_id
