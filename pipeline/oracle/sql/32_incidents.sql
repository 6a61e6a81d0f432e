-- R4, R20 to R22. How it stands is what the facts of its last episode say.
INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'incidents', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        e.key AS key,
        e.key[1] AS incident_id,
        text('service') AS service,
        arrayFilter(s -> s != '', arraySort(arrayDistinct(arrayConcat(all_of('service'), all_of('services'))))) AS services,
        text('environment') AS environment,
        text('severity') AS severity,
        text('priority') AS priority,
        text('title') AS title,
        coalesce(moment('started_at'), first_at('incident.opened'), at(began)) AS started_at,
        moment('detected_at') AS detected_at,
        first_at('incident.opened') AS opened_at,
        first_at('incident.acknowledged') AS acknowledged_at,
        if(l.closed = 0, NULL, at(l.closed)) AS resolved_at,
        if(l.stated_end = 0, resolved_at, at(l.stated_end)) AS ended_at,
        toUInt64(l.reopened) AS reopened,
        multiIf(merged_into != '', 'merged', resolved_at IS NULL, 'open', 'resolved') AS state,
        text('merged_into') AS merged_into,
        facts,
        {last}
    FROM (SELECT * FROM whence_oracle.entities WHERE entity = 'incidents') AS e
    INNER JOIN
    (
        SELECT
            incident_id, any(last_episode) AS reopened,
            minIf(time, type IN ('incident.resolved', 'incident.merged')) AS closed,
            argMaxIf(ended_at, place, ended_at != 0) AS stated_end
        FROM (SELECT *, max(episode) OVER (PARTITION BY incident_id) AS last_episode FROM whence_oracle.incident_facts)
        WHERE episode = last_episode
        GROUP BY incident_id
    ) AS l ON l.incident_id = e.key[1]
);
