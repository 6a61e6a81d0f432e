-- +goose Up

-- What was known when. A revision is a state of knowledge: all facts up to that place in the context log. Each of these
-- views takes one, as its parameter; revision_at finds the one of a wall-clock moment. They are computed from
-- fact_contents, which forgets nothing, by the rules R1 to R31 of processors/timeline/doc.go.
-- What a scalar subquery gives is computed once, but every mention of it is analysed with all that it is made of: so
-- each is mentioned once or twice, and handed on as a column.

-- The state of knowledge at a moment of the wall clock: what was in these tables by then, not what lay in a queue.
-- A time without its day is an error: the parser would take the first day of the year, when nothing was known.
CREATE OR REPLACE VIEW whence.revision_at ON CLUSTER '{cluster}' AS
WITH (said -> parseDateTime64BestEffort(if(match(said, '^\\d{4}[-/]?\\d{2}[-/]?\\d{2}'), said, concat('not a day and time: ', said)), 3, 'UTC')) AS read
SELECT
    max(bitOr(bitShiftLeft(epoch, 40), toUInt64(to_offset - 1))) AS revision,
    argMaxOrNull(written_at, (epoch, to_offset)) AS since
FROM
(
    SELECT topic_id, to_offset, min(written_at) AS written_at
    FROM whence_state.batches
    WHERE topic_id IN (SELECT topic_id FROM whence_state.epochs)
    GROUP BY topic_id, to_offset
) AS ledger
INNER JOIN whence_state.epochs AS epochs ON epochs.topic_id = ledger.topic_id
WHERE written_at <= read({moment:String});

-- R1 as of a revision: the contents that a greater one under the same identity had outdone by then.
-- In two steps, because almost no identity has two contents, and hashes group faster than strings.
CREATE OR REPLACE VIEW whence_state.outdone_at ON CLUSTER '{cluster}' AS
WITH several AS
(
    SELECT cityHash64(source, id, type) AS identity
    FROM whence_state.fact_contents
    WHERE revision <= {revision:UInt64}
    GROUP BY identity
    HAVING min(content_hash) != max(content_hash)
)
SELECT source, id, type, arrayJoin(arrayFilter(content -> content != arrayMax(contents), contents)) AS content_hash
FROM
(
    SELECT toString(fact_contents.source) AS source, id, toString(fact_contents.type) AS type, groupUniqArray(content_hash) AS contents
    FROM whence_state.fact_contents
    WHERE revision <= {revision:UInt64} AND cityHash64(fact_contents.source, id, fact_contents.type) IN several
    GROUP BY source, id, type
);

-- R3 as of a revision: the events that were unsaid by a retraction that counted then. Retractions that name each other
-- are gone through from the last to the first; the others all count.
CREATE OR REPLACE VIEW whence_state.unsaid_at ON CLUSTER '{cluster}' AS
SELECT target.1 AS source, target.2 AS id
FROM
(
    SELECT arrayJoin(arrayDistinct(arrayConcat(
        arrayFilter(said -> NOT has(disputed, said.2) AND NOT has(disputed, said.3), retractions).3,
        arrayFold(
            (gone, said) -> if(has(gone, said.2), gone, arrayPushBack(gone, said.3)),
            arrayReverseSort(arrayFilter(said -> has(disputed, said.2) OR has(disputed, said.3), retractions)),
            CAST([], 'Array(Tuple(String, String))'))))) AS target
    FROM
    (
        SELECT groupArray((place, own, target)) AS retractions, arrayIntersect(retractions.2, retractions.3) AS disputed
        FROM
        (
            SELECT
                (time, toString(source), id, content_hash) AS place,
                (toString(source), id) AS own,
                (JSONExtractString(data, 'retracts', 'source'), JSONExtractString(data, 'retracts', 'id')) AS target
            FROM whence_state.fact_contents FINAL
            WHERE entity_kind = 'retraction' AND revision <= {revision:UInt64}
            QUALIFY content_hash = max(content_hash) OVER (PARTITION BY source, id)
        )
    )
);

-- The facts that counted at a revision: of each identity the greatest content said by then, unless it was retracted.
CREATE OR REPLACE VIEW whence.facts_as_of ON CLUSTER '{cluster}' AS
SELECT
    toString(fact_contents.source) AS source, id, toString(fact_contents.type) AS type, subject, time,
    toString(fact_contents.tenant) AS tenant, toString(fact_contents.region) AS region,
    toString(fact_contents.cluster) AS cluster, toString(fact_contents.cell) AS cell, trace_id, sequence, extensions,
    toString(fact_contents.service) AS service, toString(fact_contents.environment) AS environment,
    entity_kind, entity_id, data, content_hash, revision, received_at,
    toString(fact_contents.topic) AS topic, partition, offset
FROM whence_state.fact_contents FINAL
WHERE revision <= {revision:UInt64}
    AND (toString(fact_contents.source), id, toString(fact_contents.type), content_hash)
        NOT IN (SELECT source, id, type, content_hash FROM whence_state.outdone_at(revision = {revision:UInt64}))
    AND (toString(fact_contents.source), id)
        NOT IN (SELECT source, id FROM whence_state.unsaid_at(revision = {revision:UInt64}));

-- Every content ever said of an entity (kind 'incident', entity 'INC-42'; an empty parameter: of all), and from which
-- revision until which it counted: one row a content and period. A content that never counted has a row without a
-- period, one that counts again, because what had retracted it was retracted, has two.
-- A period is what is left of [said, outdone by a greater content) without those in which a retraction of it counted, and
-- these are found the same way, from the last retraction to the first.
CREATE OR REPLACE VIEW whence.facts_history ON CLUSTER '{cluster}' AS
WITH
    toUInt64(18446744073709551615) AS never,
    ((since, until, gaps) -> arrayFilter(
        period -> period.1 < period.2 AND NOT arrayExists(gap -> gap.1 <= period.1 AND period.1 < gap.2, gaps),
        arrayZip(
            arrayConcat([since], arraySort(arrayDistinct(arrayFilter(edge -> since < edge AND edge < until, arrayConcat(gaps.1, gaps.2))))) AS edges,
            arrayPushBack(arrayPopFront(edges), until)))) AS without,
    ((said, greater) -> arrayMin(arrayPushBack(arrayFilter(other -> other.1 > greater, said).2, never))) AS first_above,
    contents AS
    (
        SELECT
            * EXCEPT (source, type), toString(fact_contents.source) AS source, toString(fact_contents.type) AS type,
            first_above(groupArray((content_hash, revision)) OVER (PARTITION BY fact_contents.source, id, fact_contents.type), content_hash) AS outdone
        FROM whence_state.fact_contents FINAL
        WHERE ({kind:String} = '' OR entity_kind = {kind:String})
            AND ({entity:String} = '' OR (fact_contents.source, id) IN
            (
                SELECT source, id
                FROM whence_state.fact_contents
                WHERE ({kind:String} = '' OR entity_kind = {kind:String}) AND entity_id = {entity:String}
            ))
    ),
    retractions AS
    (
        SELECT
            groupArray((
                (time, toString(source), id, content_hash) AS place,
                (toString(source), id) AS own,
                (JSONExtractString(data, 'retracts', 'source'), JSONExtractString(data, 'retracts', 'id')) AS target,
                revision,
                outdone)) AS said,
            arrayIntersect(said.2, said.3) AS disputed,
            arrayConcat(
                arrayMap(r -> (r.3, r.4, r.5), arrayFilter(r -> r.4 < r.5 AND NOT has(disputed, r.2) AND NOT has(disputed, r.3), said)),
                arrayFold(
                    (gaps, r) -> arrayConcat(gaps, arrayMap(period -> (r.3, period.1, period.2), without(r.4, r.5,
                        arrayMap(gap -> (gap.2, gap.3), arrayFilter(gap -> gap.1 = r.2, gaps))))),
                    arrayReverseSort(arrayFilter(r -> has(disputed, r.2) OR has(disputed, r.3), said)),
                    CAST([], 'Array(Tuple(Tuple(String, String), UInt64, UInt64))'))) AS gaps
        FROM
        (
            SELECT *, first_above(groupArray((content_hash, revision)) OVER (PARTITION BY source, id), content_hash) AS outdone
            FROM whence_state.fact_contents FINAL
            WHERE entity_kind = 'retraction'
        )
    ),
    periods AS
    (
        SELECT contents.*, 0 AS every, arrayJoin(if(empty(counted), [(never, never)], counted)) AS period, without(revision, outdone, unsaid.gaps) AS counted
        FROM contents
        LEFT JOIN
        (
            SELECT gap.1.1 AS source, gap.1.2 AS id, groupArray((gap.2, gap.3)) AS gaps
            FROM (SELECT arrayJoin(gaps) AS gap FROM retractions)
            GROUP BY source, id
        ) AS unsaid ON unsaid.source = contents.source AND unsaid.id = contents.id
        WHERE {entity:String} = '' OR entity_id = {entity:String}
    ),
    ledger AS
    (
        SELECT 0 AS every, bitOr(bitShiftLeft(epoch, 40), toUInt64(to_offset - 1)) AS last, min(written_at) AS written_at
        FROM whence_state.batches AS batches
        INNER JOIN whence_state.epochs AS epochs ON epochs.topic_id = batches.topic_id
        GROUP BY last
    )
SELECT
    entity_kind, entity_id, source, id, type, time, toString(service) AS service, toString(environment) AS environment, data,
    content_hash, revision, received_at,
    nullIf(said.written_at, toDateTime64(0, 3, 'UTC')) AS known_at,
    nullIf(period.1, never) AS since,
    nullIf(period.2, never) AS until,
    nullIf(ended.written_at, toDateTime64(0, 3, 'UTC')) AS until_at,
    multiIf(since IS NULL, if(outdone <= revision, 'outdone', 'retracted'), until IS NULL, '', until = outdone, 'outdone', 'retracted') AS ended_by,
    since IS NOT NULL AND until IS NULL AS counts
FROM periods
ASOF LEFT JOIN ledger AS said ON said.every = periods.every AND said.last >= periods.revision
ASOF LEFT JOIN ledger AS ended ON ended.every = periods.every AND ended.last >= periods.period.2;

-- Each observation with the context that its row showed when knowledge was at a revision: of its states the one with
-- the greatest revision up to that, from the table or, where it was corrected since, from the history. Observations
-- that were stored at a later revision are not there, and one whose content was replaced by another since only from then
-- on. A revision is a state of knowledge and no moment: what was stored later with no new fact in between is there, and
-- observations_at leaves it out. The second branch costs the corrected rows alone; ask for a service, an environment or a
-- time, and both read that alone.
CREATE OR REPLACE VIEW whence.observations_as_of ON CLUSTER '{cluster}' AS
WITH
    current AS (SELECT * FROM whence.observations FINAL),
    images AS
    (
        SELECT
            source, id, time, name, service, environment, content_hash,
            argMax((
                deployment_id, deployed_version, previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids, flags,
                incident_ids, incident_severity, finding_ids, owner, tier, canonical_service, experiments, observations_history.revision),
                observations_history.revision) AS image
        FROM whence.observations_history
        WHERE observations_history.revision <= {revision:UInt64}
        GROUP BY source, id, time, name, service, environment, content_hash
    )
SELECT
    source, id, type, subject, time, tenant, region, cluster, cell, trace_id, sequence, extensions, name, service, environment,
    user, session, version, instance, ok, duration_ms, value, weight, attributes, experiment, variant, unit_id, anonymous_id,
    fingerprint, message, frames, caller, callee, interval_ms, requests, errors, success_ratio, latency_ms, latency_p99_ms,
    cpu_ratio, memory_ratio, extra,
    deployment_id, deployed_version, previous_version, deployment_age_ms, rollout_ids, rollout_percent, change_ids, flags,
    incident_ids, incident_severity, finding_ids, owner, tier, canonical_service, experiments, revision,
    content_hash, received_at, topic, partition, offset
FROM current
WHERE revision <= {revision:UInt64}
UNION ALL
SELECT
    source, id, type, subject, time, tenant, region, cluster, cell, trace_id, sequence, extensions, name, service, environment,
    user, session, version, instance, ok, duration_ms, value, weight, attributes, experiment, variant, unit_id, anonymous_id,
    fingerprint, message, frames, caller, callee, interval_ms, requests, errors, success_ratio, latency_ms, latency_p99_ms,
    cpu_ratio, memory_ratio, extra,
    image.1, image.2, image.3, image.4, image.5, image.6, image.7, image.8, image.9, image.10, image.11, image.12, image.13,
    image.14, image.15, image.16,
    content_hash, received_at, topic, partition, offset
FROM (SELECT * FROM current WHERE revision > {revision:UInt64}) AS corrected
INNER JOIN images USING (source, id, time, name, service, environment, content_hash);

-- What was true of a service in an environment at a time, without the contents and events given as JSON. The rules are
-- applied here a second time, to the facts alone and apart from the code that enriches rows: R5 to R7 in meanings and
-- named, R8 to R12 in deployments, R15 and R16 in chosen, R17 in carried, R18 in rolling, R19 in switches, R20 to R24 in
-- outages, R28 in declared, R25 to R27 in weaknesses, R30 in listed and whole, R31 in missed.
-- Of changes, most are read over: only those that mention a revision of the deployment are parsed, where its revisions
-- are such that JSON spells them as they are. The rules of a flag are spelled as the fact spells them: JSONExtractRaw
-- writes numbers its own way, so it only tells which part of the text they are.
CREATE OR REPLACE VIEW whence_state.context_without ON CLUSTER '{cluster}' AS
WITH
    parseDateTime64BestEffort(if(match({time:String}, '^\\d{4}[-/]?\\d{2}[-/]?\\d{2}'), {time:String}, concat('not a day and time: ', {time:String})), 3, 'UTC') AS at,
    toDateTime64('2299-12-31 23:59:59', 3, 'UTC') AS never,
    JSONExtract({outdone:String}, 'Array(Tuple(String, String, String, UInt64))') AS outdone,
    JSONExtract({unsaid:String}, 'Array(Tuple(String, String))') AS unsaid,
    facts AS
    (
        SELECT
            entity_kind, entity_id, replaceOne(toString(type), 'io.whence.', '') AS name, time,
            toString(service) AS service, toString(environment) AS environment, data,
            (time, toString(source), id, content_hash) AS place
        FROM whence_state.fact_contents FINAL
        WHERE revision <= {revision:UInt64}
            AND (toString(source), id, toString(type), content_hash) NOT IN outdone
            AND (toString(source), id) NOT IN unsaid
    ),
    listed AS
    (
        SELECT
            finding_id, number, (toString(tool), target) AS field, scan_id, part, parts, partial, time,
            toString(status) AS status, toString(service) AS service, toString(environment) AS environment, data,
            (time, toString(source), id, content_hash, number) AS place
        FROM whence_state.listings FINAL
        WHERE revision <= {revision:UInt64}
            AND (toString(source), id, 'io.whence.scan.completed', content_hash) NOT IN outdone
            AND (toString(source), id) NOT IN unsaid
    ),
    whole AS
    (
        SELECT field, scan_id, over, row_number() OVER (PARTITION BY field ORDER BY over, scan_id) AS nth
        FROM
        (
            SELECT field, scan_id, max(time) AS over, max(partial) AS partly, max(parts) AS of, groupUniqArray(part) AS known
            FROM listed
            WHERE number = 0
            GROUP BY field, scan_id
        )
        WHERE NOT partly AND of > 0 AND arrayCount(n -> n <= of, known) = of
    ),
    -- As in entities/findings.sql: lists are merged, for a lambda that uses one copies it for each element.
    missed AS
    (
        WITH
            arraySort(arrayConcat(scans, listing)) AS both,
            arrayMap(s -> (s.1, 0), arrayFilter(
                (s, next) -> s.3 = 0 AND NOT (next.2 = s.2 AND next.3 = 1), both, arrayPushBack(arrayPopFront(both), (never, toUInt64(0), 0)))) AS absent,
            arraySort(arrayConcat(absent, sightings)) AS turns
        SELECT finding_id, arrayJoin(arrayFilter(
            (t, before) -> t.2 = 0 AND before.2 = 1, turns, arrayPushFront(arrayPopBack(turns), (never, 0)))).1 AS time
        FROM
        (
            SELECT finding_id, field, groupUniqArray((time, 1)) AS sightings, groupUniqArrayIf((over, nth, 1), nth > 0) AS listing
            FROM (SELECT finding_id, field, scan_id, time FROM listed WHERE number > 0) AS sighted
            LEFT JOIN whole ON whole.field = sighted.field AND whole.scan_id = sighted.scan_id
            GROUP BY finding_id, field
        ) AS seen
        INNER JOIN (SELECT field, groupArray((over, nth, 0)) AS scans FROM whole GROUP BY field) AS all_whole ON all_whole.field = seen.field
    ),
    (field -> JSONExtractString(data, field)) AS text,
    (field -> JSONExtract(data, field, 'Array(String)')) AS texts,
    (field -> parseDateTime64BestEffortOrNull(upper(text(field)), 3, 'UTC')) AS moment,
    (
        SELECT groupArray((alias, name))
        FROM
        (
            SELECT said.1 AS alias, argMax(said.2, place) AS name
            FROM
            (
                SELECT place, arrayJoin(if(
                    entity_kind = 'service', arrayMap(alias -> (alias, service), texts('aliases')),
                    if(text('kind') = 'service', [(text('alias'), text('canonical'))], []))) AS said
                FROM facts
                WHERE entity_kind IN ('service', 'identity')
            )
            WHERE said.1 != '' AND said.2 != '' AND said.1 != said.2
            GROUP BY alias
        )
    ) AS meanings,
    (
        SELECT (canonical, arrayFilter(name -> name != '', arrayFold(
            (known, link) -> arrayDistinct(arrayConcat(known, arrayFilter((alias, name) -> has(known, name), aliases, names))),
            links, [canonical])))
        FROM
        (
            SELECT
                pairs.1 AS aliases,
                pairs.2 AS names,
                range(length(arrayIntersect(aliases, names)) + 2) AS links,
                arrayFold(
                    (path, link) -> if(
                        has(aliases, path[-1]) AND NOT has(arrayPopBack(path), path[-1]),
                        arrayPushBack(path, names[indexOf(aliases, path[-1])]), path),
                    links, [{service:String}]) AS chain,
                if(has(arrayPopBack(chain), chain[-1]), arrayMin(arraySlice(chain, indexOf(chain, chain[-1]))), chain[-1]) AS canonical
            FROM (SELECT CAST(meanings, 'Array(Tuple(String, String))') AS pairs)
        )
    ) AS named,
    (
        SELECT groupArray((deployment_id, version, previous_version, revisions, started, ended, completed, failed, percent))
        FROM
        (
            SELECT
                entity_id AS deployment_id,
                argMaxIf(service, stage, service != '') AS of_service,
                argMaxIf(environment, stage, environment != '') AS of_environment,
                argMaxIf(text('version'), stage, text('version') != '') AS version,
                argMaxIf(text('previous_version'), stage, text('previous_version') != '') AS previous_version,
                groupUniqArrayArray(texts('revisions')) AS revisions,
                min(place) AS started,
                ifNull(minOrNullIf(time, finishes), never) AS ended,
                if(max(completes), minIf(place, completes), (never, '', '', 0)) AS completed,
                ifNull(minOrNullIf(time, fails), never) AS failed,
                argMaxIf(assumeNotNull(stated), place, stated IS NOT NULL AND time <= at) AS percent
            FROM
            (
                SELECT
                    *,
                    (indexOf(['deployment.started', 'deployment.progressed', 'deployment.finished'], name), place) AS stage,
                    JSONExtract(data, 'percent', 'Nullable(Float64)') AS stated,
                    name = 'deployment.finished' AS finishes,
                    finishes AND text('outcome') = 'success' OR ifNull(stated, 0) >= 100 AS completes,
                    finishes AND text('outcome') IN ('failure', 'cancelled', 'rolled_back') AS fails
                FROM facts
                WHERE entity_kind = 'deployment' AND entity_id IN
                (
                    SELECT entity_id
                    FROM whence_state.fact_contents
                    WHERE entity_kind = 'deployment' AND revision <= {revision:UInt64} AND service IN (SELECT arrayJoin(named.2))
                )
            )
            GROUP BY deployment_id
        )
        WHERE of_environment = {environment:String} AND of_service IN (SELECT arrayJoin(named.2))
    ) AS deployments,
    (
        SELECT (
            last.1 AS deployment_id, last.2 AS version, last.5.1 AS started, arrayFilter(r -> r != '', last.4) AS revisions,
            multiIf(deployment_id = '', '', last.3 != '', last.3,
                arraySort(d -> d.7, arrayFilter(d -> d.7.1 < started AND started <= d.8, all))[-1].2),
            length(revisions) > 200 OR arrayExists(r -> NOT match(r, '^[-+.:/@\\w]+$'), revisions) AS elsewhere)
        FROM (SELECT deployments AS all, arraySort(d -> d.7, arrayFilter(d -> d.7.1 <= at AND at < d.8, all))[-1] AS last)
    ) AS chosen,
    (
        SELECT arraySort(groupUniqArray(entity_id))
        FROM facts
        WHERE entity_kind = 'change' AND (chosen.6 OR multiSearchAny(data, arraySlice(chosen.4, 1, 200))) AND hasAny(chosen.4, arrayPushBack(
            arrayMap(commit -> JSONExtractString(commit, 'revision'), JSONExtractArrayRaw(data, 'commits')), text('revision')))
    ) AS carried,
    (
        SELECT arraySort(groupArray((entity_id, if(
            empty(arrayFirst(rules -> JSONExtractRaw(concat('{"rules":', rules, '}'), 'rules') = read, spelled) AS said), read, said))))
        FROM
        (
            SELECT
                entity_id,
                JSONExtractRaw(last, 'rules') AS read,
                splitByString('"rules":', last) AS parts,
                arrayMap(n -> simpleJSONExtractRaw(concat('"rules":', arrayStringConcat(arraySlice(parts, n), '"rules":')), 'rules'),
                    range(2, length(parts) + 1)) AS spelled
            FROM
            (
                SELECT entity_id, argMax(data, place) AS last
                FROM facts
                WHERE entity_kind = 'flag' AND environment = {environment:String} AND time <= at
                    AND (empty(texts('services')) OR hasAny(named.2, texts('services')))
                GROUP BY entity_id
            )
        )
    ) AS switches,
    (
        SELECT (
            arraySort(groupArray(entity_id)),
            arrayMin(groupArray((multiIf(severity = '', 7, level = 0, 6, level), severity))).2)
        FROM
        (
            SELECT
                entity_id,
                max(hasAny(named.2, arrayPushBack(texts('services'), service))) AS concerned,
                argMaxIf(environment, place, environment != '') AS of_environment,
                coalesce(
                    argMaxOrNullIf(moment('started_at'), place, moment('started_at') IS NOT NULL),
                    minOrNullIf(time, name = 'incident.opened'),
                    min(time)) AS onset,
                arraySort(groupArrayIf(place, name = 'incident.reopened')) AS again,
                arraySort(groupArrayIf((place, assumeNotNull(moment('ended_at'))), moment('ended_at') IS NOT NULL)) AS ends,
                arraySort(groupArrayIf(place, name IN ('incident.resolved', 'incident.merged'))) AS closings,
                coalesce(
                    argMaxOrNullIf(text('severity'), place, text('severity') != '' AND time <= at),
                    argMinIf(text('severity'), place, text('severity') != '')) AS severity,
                indexOf(['critical', 'high', 'medium', 'low', 'info'], severity) AS level
            FROM facts
            WHERE entity_kind = 'incident'
            GROUP BY entity_id
        )
        WHERE concerned AND of_environment = {environment:String} AND arrayExists(
            (first, next) -> if(first.1 = 0, onset, first.2.1) <= at AND at < multiIf(
                arrayExists(e -> first.2 <= e.1 AND e.1 < next, ends), arrayFilter(e -> first.2 <= e.1 AND e.1 < next, ends)[-1].2,
                arrayExists(c -> first.2 <= c AND c < next, closings), arrayFilter(c -> first.2 <= c AND c < next, closings)[1].1,
                next.1),
            arrayPushFront(arrayMap(place -> (1, place), again), (0, (toDateTime64(0, 3, 'UTC'), '', '', 0))),
            arrayPushBack(again, (never, '', '', 0)))
    ) AS outages,
    (
        SELECT (
            coalesce(argMaxOrNullIf(text('owner'), place, here AND text('owner') != '' AND time <= at), argMinIf(text('owner'), place, here AND text('owner') != '')),
            coalesce(argMaxOrNullIf(text('tier'), place, here AND text('tier') != '' AND time <= at), argMinIf(text('tier'), place, here AND text('tier') != '')),
            groupUniqArrayArray(texts('repositories')))
        FROM (SELECT *, environment IN ('', {environment:String}) AS here FROM facts)
        WHERE entity_kind = 'service' AND service IN (SELECT arrayJoin(named.2))
    ) AS declared,
    (
        SELECT groupArray((alias, name))
        FROM
        (
            SELECT text('alias') AS alias, argMax(text('canonical'), place) AS name
            FROM facts
            WHERE entity_kind = 'identity' AND text('kind') = 'repository' AND text('alias') != '' AND text('canonical') != ''
                AND text('alias') != text('canonical')
            GROUP BY alias
        )
    ) AS repository_meanings,
    -- All names that mean what a declared one does: whatever chain or cycle joins them.
    (
        SELECT arrayFold(
            (known, link) -> arrayDistinct(arrayConcat(known,
                arrayFilter((alias, name) -> has(known, name), aliases, names), arrayFilter((name, alias) -> has(known, alias), names, aliases))),
            range(2 * length(arrayIntersect(aliases, names)) + 3), listed)
        FROM
        (
            SELECT CAST(repository_meanings, 'Array(Tuple(String, String))') AS pairs, pairs.1 AS aliases, pairs.2 AS names,
                CAST(arrayFilter(repository -> repository != '', declared.3), 'Array(String)') AS listed
        )
    ) AS repositories,
    (
        SELECT arraySort(groupArray(entity_id))
        FROM
        (
            SELECT
                entity_id,
                argMaxIf(service, place, service != '') AS of_service,
                argMaxIf(environment, place, environment != '') AS of_environment,
                argMaxIf(text('repository'), place, text('repository') != '') AS of_repository,
                argMaxIf(text('revision_introduced'), place, text('revision_introduced') != '') AS introduced,
                coalesce(
                    argMaxOrNullIf(moment('first_seen'), place, moment('first_seen') IS NOT NULL),
                    minOrNullIf(time, status = 'opened'),
                    min(time)) AS seen,
                maxOrNullIf(time, status = 'opened' AND time <= at) AS opened,
                maxOrNullIf(time, status != 'opened' AND time <= at) AS closed
            FROM
            (
                SELECT
                    entity_id, replaceOne(name, 'finding.', '') AS status, time, service, environment, data,
                    (place.1, place.2, place.3, place.4, toUInt32(0)) AS place
                FROM facts
                WHERE entity_kind = 'finding'
                UNION ALL
                SELECT finding_id, status, time, service, environment, data, place
                FROM listed
                WHERE number > 0
                UNION ALL
                SELECT finding_id, 'remediated', time, '', '', '', (time, '', '', 0, 0)
                FROM missed
            )
            GROUP BY entity_id
        ) AS findings
        LEFT JOIN
        (
            SELECT arrayJoin(d.4) AS revision, min(d.7.1) AS completed
            FROM (SELECT arrayJoin(deployments) AS d)
            WHERE d.7.1 != never
            GROUP BY revision
        ) AS brought ON brought.revision = findings.introduced
        WHERE of_environment IN ('', {environment:String})
            AND if(introduced != '' AND brought.revision != '', brought.completed, seen) <= at AND (closed IS NULL OR ifNull(opened > closed, false))
            AND if(of_service != '', ('service', of_service), ('repository', of_repository)) IN
            (
                SELECT 'service', arrayJoin(named.2)
                UNION ALL
                SELECT 'repository', arrayJoin(repositories)
            )
    ) AS weaknesses
SELECT
    {service:String} AS service,
    {environment:String} AS environment,
    at AS time,
    deployment.1 AS deployment_id,
    deployment.2 AS deployed_version,
    deployment.5 AS previous_version,
    if(deployment.1 = '', NULL, toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(deployment.3)) AS deployment_age_ms,
    rolling.1 AS rollout_ids,
    rolling[-1].9 AS rollout_percent,
    carried AS change_ids,
    mapFromArrays(rules.1, rules.2) AS flags,
    troubles.1 AS incident_ids,
    troubles.2 AS incident_severity,
    weaknesses AS finding_ids,
    owners.1 AS owner,
    owners.2 AS tier,
    canonical AS canonical_service,
    {revision:UInt64} AS revision
FROM
(
    SELECT
        chosen AS deployment,
        arraySort(d -> d.5, arrayFilter(d -> d.5.1 <= at AND at < d.6, deployments)) AS rolling,
        CAST(switches, 'Array(Tuple(String, String))') AS rules,
        outages AS troubles,
        declared AS owners,
        named.1 AS canonical
);

-- What was true of a service in an environment at a time, as far as it was known at a revision: what a row of that
-- moment says that states no version and no instance. One row for any names. There are no experiments in it, of which
-- only an observation itself tells.
CREATE OR REPLACE VIEW whence.context_at ON CLUSTER '{cluster}' AS
SELECT *
FROM whence_state.context_without(
    service = {service:String}, environment = {environment:String}, time = {time:String}, revision = {revision:UInt64},
    outdone = (SELECT toJSONString(groupArray((source, id, type, content_hash))) FROM whence_state.outdone_at(revision = {revision:UInt64})),
    unsaid = (SELECT toJSONString(groupArray((source, id))) FROM whence_state.unsaid_at(revision = {revision:UInt64})));

-- +goose Down

DROP VIEW IF EXISTS whence.context_at ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.context_without ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.observations_as_of ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.facts_history ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.facts_as_of ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.unsaid_at ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence_state.outdone_at ON CLUSTER '{cluster}' SYNC;
DROP VIEW IF EXISTS whence.revision_at ON CLUSTER '{cluster}' SYNC;
