-- R19: a flag.changed in E concerns S if it lists S, or none. Rules are compared as the engine writes JSON, so that
-- the order of keys and the spelling of numbers are the canonical form's business and not the oracle's.
CREATE TABLE whence_oracle.flag_facts ENGINE = Memory AS
SELECT
    s.service AS service, s.environment AS environment, f.place AS place, f.time AS time,
    JSONExtractString(f.data, 'flag') AS flag, JSONExtractRaw(f.data, 'rules') AS rules
FROM whence_oracle.scopes AS s
INNER JOIN whence_oracle.facts AS f ON f.environment = s.environment
WHERE f.type = 'flag.changed' AND (empty(f.services) OR has(f.services, s.service));

CREATE TABLE whence_oracle.flags_since ENGINE = Memory AS
SELECT service, environment, since, mapFromArrays(pairs.1, pairs.2) AS flags, arraySort(groupArray((flag, rules))) AS pairs
FROM
(
    SELECT m.service AS service, m.environment AS environment, m.since AS since, f.flag AS flag, argMax(f.rules, f.place) AS rules
    FROM (SELECT DISTINCT service, environment, time AS since FROM whence_oracle.flag_facts) AS m
    INNER JOIN whence_oracle.flag_facts AS f ON f.service = m.service AND f.environment = m.environment
    WHERE f.time <= m.since
    GROUP BY service, environment, since, flag
)
GROUP BY service, environment, since;
