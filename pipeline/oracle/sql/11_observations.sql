-- The observations of the span, once each: (source, id, stated_service, environment, time, name) is one's identity, and its
-- hash is `row`. What they say is read from their JSON. With a share, of whole minutes of a service, so that these add up.
-- R29: experiments are those of the event itself.
CREATE OR REPLACE TABLE whence_oracle.observations ENGINE = MergeTree ORDER BY tuple() AS
WITH
    (SELECT groupArray((alias, name)) FROM (SELECT alias, name FROM whence_oracle.canonical WHERE kind = 'service' UNION ALL SELECT '', '')) AS names,
    (field -> JSONExtract(data, field, 'Nullable(Float64)')) AS number,
    {plain}
SELECT
    sipHash128(source, id, stated_service, environment, time, name) AS row,
    CAST(events.source, 'String') AS source,
    id,
    CAST(events.service, 'String') AS stated_service,
    CAST(events.environment, 'String') AS environment,
    toUnixTimestamp64Milli(events.time) AS time,
    if(type = 'io.whence.behavior.recorded', JSONExtractString(data, 'name'), CAST(substring(type, length('io.whence.') + 1), 'String')) AS name,
    transform(stated_service, names.1, names.2, stated_service) AS service,
    JSONExtractString(data, 'version') AS version,
    plain(version) AS spelled,
    JSONExtractString(data, 'instance') AS instance,
    if(type IN ('io.whence.experiment.assigned', 'io.whence.experiment.exposed'),
        map(JSONExtractString(data, 'experiment'), JSONExtractString(data, 'variant')),
        CAST(map(), 'Map(String, String)')) AS experiments,
    CAST((
        JSONExtractString(data, 'user'), type = 'io.whence.behavior.recorded', type = 'io.whence.service.measured',
        JSONExtract(data, 'ok', 'Nullable(Bool)'), number('duration_ms'), number('weight'), number('requests'), number('errors'),
        number('success_ratio'), number('latency_ms'), number('latency_p99_ms')
    ), 'Tuple(
        user String, recorded Bool, measured Bool,
        ok Nullable(Bool), duration_ms Nullable(Float64), weight Nullable(Float64), requests Nullable(Float64), errors Nullable(Float64),
        success_ratio Nullable(Float64), latency_ms Nullable(Float64), latency_p99_ms Nullable(Float64))') AS said
FROM whence.events
WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= events.time AND events.time < fromUnixTimestamp64Milli({end}, 'UTC')
    AND cityHash64(events.service, events.environment, toStartOfMinute(events.time)) % 1000000 < {share}
    AND type IN
    (
        'io.whence.behavior.recorded', 'io.whence.service.measured', 'io.whence.error.occurred',
        'io.whence.experiment.assigned', 'io.whence.experiment.exposed', 'io.whence.user.identified'
    );
