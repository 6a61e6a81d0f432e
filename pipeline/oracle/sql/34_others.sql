-- The entities that no numbered rule speaks of beyond R4: what is said last holds.
INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'services', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[2] AS service,
        key[1] AS environment,
        text('owner') AS owner,
        text('tier') AS tier,
        JSONExtract(last['depends_on'], 'Array(String)') AS depends_on,
        list('repositories') AS repositories,
        list('paths') AS paths,
        all_of('aliases') AS aliases,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'services'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'changes', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[1] AS change_id,
        substring(last_fact.3, length('io.whence.') + 1) AS kind,
        text('repository') AS repository,
        text('revision') AS merged_revision,
        arrayFilter(r -> r != '', arraySort(arrayDistinct(arrayConcat(
            all_of('revision'), arrayMap(c -> JSONExtractString(c, 'revision'), every['commits']))))) AS revisions,
        if(text('title') = '', text('summary'), text('title')) AS title,
        if(text('author') = '', text('changed_by'), text('author')) AS author,
        arrayFilter(s -> s != '', arraySort(arrayDistinct(arrayPushBack(list('services'), text('service'))))) AS services,
        text('environment') AS environment,
        list('paths') AS paths,
        amount('size') AS size,
        text('reverts') AS reverts,
        last['scope'] AS scope,
        arrayReduce('minOrNull', arrayMap(
            c -> parseDateTime64BestEffortOrNull(upper(JSONExtractString(c, 'authored_at')), 3, 'UTC'), every['commits'])) AS first_authored_at,
        ifNull(moment('merged_at'), at(began)) AS changed_at,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'changes'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'flags', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[2] AS flag,
        key[1] AS environment,
        last['rules'] AS rules,
        last['previous'] AS previous,
        JSONExtract(last_fact.5, 'Array(String)') AS services,
        text('changed_by') AS changed_by,
        at(last_fact.4) AS changed_at,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'flags'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'alerts', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[1] AS alert_id,
        text('fingerprint') AS fingerprint,
        text('incident_id') AS incident_id,
        text('service') AS service,
        text('environment') AS environment,
        text('severity') AS severity,
        text('summary') AS summary,
        JSONExtract(last['labels'], 'Map(String, String)') AS labels,
        first_at('alert.fired') AS fired_at,
        first_at('alert.resolved') AS resolved_at,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'alerts'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'breaches', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[1] AS breach_id,
        text('service') AS service,
        text('environment') AS environment,
        text('severity') AS severity,
        coalesce(moment('started_at'), first_at('breach.detected'), at(began)) AS started_at,
        first_at('breach.detected') AS detected_at,
        first_at('breach.contained') AS contained_at,
        text('actor') AS actor,
        amount('records') AS records,
        text('finding_id') AS finding_id,
        if(contained_at IS NULL, 'open', 'contained') AS state,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'breaches'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'experiments', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[1] AS experiment,
        text('hypothesis') AS hypothesis,
        text('unit') AS unit,
        CAST(arrayMap(v -> (JSONExtractString(v, 'name'), JSONExtractFloat(v, 'weight')), JSONExtractArrayRaw(last['variants'])), 'Map(String, Float64)') AS variants,
        text('primary_metric') AS primary_metric,
        list('guardrails') AS guardrails,
        list('services') AS services,
        first_at('experiment.started') AS started_at,
        first_at('experiment.stopped') AS stopped_at,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'experiments'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'builds', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[1] AS build_id,
        text('repository') AS repository,
        text('revision') AS built_revision,
        text('outcome') AS outcome,
        moment('started_at') AS started_at,
        amount('duration_ms') AS duration_ms,
        text('artifact') AS artifact,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'builds'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'tests', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[1] AS run_id,
        key[2] AS suite,
        key[3] AS case,
        text('revision') AS tested_revision,
        text('outcome') AS outcome,
        amount('duration_ms') AS duration_ms,
        truth('flaky') AS flaky,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'tests'
);

INSERT INTO whence_oracle.folded
WITH {words}
SELECT 'artifacts', key, formatRow('JSONEachRow', * EXCEPT (key))
FROM
(
    SELECT
        key,
        key[1] AS artifact,
        text('revision') AS built_revision,
        text('signed_by') AS signed_by,
        at(began) AS published_at,
        facts,
        {last}
    FROM whence_oracle.entities
    WHERE entity = 'artifacts'
);
