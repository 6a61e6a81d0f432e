-- R4, R25, R26, R30, R31: of what closes it when it is closed for good, the first says how it stands; a scan that misses it
-- says nothing else.
INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'findings', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        e.key AS key,
        e.key[1] AS finding_id,
        text('kind') AS kind,
        text('rule') AS rule,
        text('severity') AS severity,
        text('service') AS service,
        text('environment') AS environment,
        text('artifact') AS artifact,
        text('repository') AS repository,
        text('revision_introduced') AS revision_introduced,
        text('revision_fixed') AS revision_fixed,
        text('control') AS control,
        moment('first_seen') AS first_seen,
        moment('due_at') AS due_at,
        text('evidence_url') AS evidence_url,
        first_at('opened') AS opened_at,
        if(mapContains(latest, 'opened'), at(latest['opened']), NULL) AS last_seen_at,
        if(f.until = 9223372036854775807, NULL, at(f.until)) AS closed_at,
        f.reopened AS reopened,
        multiIf(closed_at IS NULL, 'open', c.first_what = '', 'remediated', c.first_what) AS state,
        sightings,
        facts,
        {last}
    FROM (SELECT * FROM whence_oracle.entities WHERE entity = 'findings') AS e
    INNER JOIN whence_oracle.findings AS f ON f.finding_id = e.key[1]
    LEFT JOIN
    (
        SELECT key, time, argMin(what, (place, number)) AS first_what
        FROM whence_oracle.about
        WHERE entity = 'findings' AND what != 'opened'
        GROUP BY key, time
    ) AS c ON c.key = e.key AND c.time = f.until
);
