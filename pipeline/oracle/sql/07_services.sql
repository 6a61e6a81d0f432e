-- R28: the declarations of S that hold in E.
CREATE OR REPLACE TABLE whence_oracle.declarations ENGINE = Memory AS
SELECT
    s.service AS service, s.environment AS environment, f.place AS place, f.time AS time,
    JSONExtractString(f.data, 'owner') AS owner, JSONExtractString(f.data, 'tier') AS tier
FROM whence_oracle.scopes AS s
INNER JOIN whence_oracle.facts AS f ON f.service = s.service
WHERE f.type = 'service.declared' AND f.environment IN ('', s.environment);

-- R28: the last stated; before any, the first.
CREATE OR REPLACE TABLE whence_oracle.owner_since ENGINE = Memory AS
SELECT service, environment, time AS since, argMax(d.owner, d.place) AS owner
FROM whence_oracle.declarations AS d
WHERE d.owner != ''
GROUP BY service, environment, time
UNION ALL
SELECT service, environment, -9223372036854775808, argMin(d.owner, d.place)
FROM whence_oracle.declarations AS d
WHERE d.owner != ''
GROUP BY service, environment;

CREATE OR REPLACE TABLE whence_oracle.tier_since ENGINE = Memory AS
SELECT service, environment, time AS since, argMax(d.tier, d.place) AS tier
FROM whence_oracle.declarations AS d
WHERE d.tier != ''
GROUP BY service, environment, time
UNION ALL
SELECT service, environment, -9223372036854775808, argMin(d.tier, d.place)
FROM whence_oracle.declarations AS d
WHERE d.tier != ''
GROUP BY service, environment;
