-- R19: a flag.changed in E concerns S if it lists S, or none. The rules are the text that the fact has: what the engine
-- reads as rules only tells which part of it they are, because it spells numbers its own way.
CREATE OR REPLACE TABLE whence_oracle.flag_facts ENGINE = Memory AS
SELECT
    place, time, environment, services, JSONExtractString(data, 'flag') AS flag,
    JSONExtractRaw(data, 'rules') AS read,
    splitByString('"rules":', data) AS parts,
    arrayFirst(
        rules -> JSONExtractRaw(concat('{"rules":', rules, '}'), 'rules') = read,
        arrayMap(n -> simpleJSONExtractRaw(concat('"rules":', arrayStringConcat(arraySlice(parts, n), '"rules":')), 'rules'), range(2, length(parts) + 1))) AS spelled,
    if(spelled = '', read, spelled) AS rules
FROM whence_oracle.facts
WHERE type = 'flag.changed';
