-- findings: one row a finding.
INSERT INTO whence.findings
WITH
    argMaxIf((source, id, type, time, received_at, topic, partition, offset), ord, live) AS last,
    (field -> argMaxIf(JSONExtractString(data, field), ord, JSONExtractString(data, field) != '')) AS said,
    (field -> argMaxIf(parseDateTime64BestEffortOrNull(JSONExtractString(data, field), 3, 'UTC'), ord, JSONExtractString(data, field) != '')) AS moment
SELECT
    entity_id AS finding_id,
    said('kind') AS kind,
    said('rule') AS rule,
    said('severity') AS severity,
    said('service') AS service,
    said('environment') AS environment,
    said('artifact') AS artifact,
    said('repository') AS repository,
    said('revision_introduced') AS revision_introduced,
    said('revision_fixed') AS revision_fixed,
    said('control') AS control,
    moment('first_seen') AS first_seen,
    moment('due_at') AS due_at,
    said('evidence_url') AS evidence_url,
    minOrNullIf(time, live AND type = 'io.whence.finding.opened') AS opened_at,
    minOrNullIf(time, live AND type IN ('io.whence.finding.remediated', 'io.whence.finding.accepted')) AS closed_at,
    if(closed_at IS NULL, 'open', replaceOne(argMinIf(type, ord, live AND type IN ('io.whence.finding.remediated', 'io.whence.finding.accepted')), 'io.whence.finding.', '')) AS state,
    countIf(live) AS facts,
    last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8,
    {revision} AS revision,
    facts = 0 AS is_deleted
FROM whence_state.entity_facts
WHERE entity_kind = 'finding' AND entity_id IN ({touched})
GROUP BY entity_id
