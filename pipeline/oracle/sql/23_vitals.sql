-- The vitals of each minute of the span, computed once more from the answers, against the view. Sums of the same numbers
-- in another order differ in the last places: a billionth is no difference. A minute that was touched since, or of which a
-- row knows better, is one to look at again.
INSERT INTO whence_oracle.differences
WITH
    ((a, b) -> a = b OR abs(a - b) <= 1e-9 * greatest(abs(a), abs(b)) OR isNaN(a) AND isNaN(b)) AS near,
    ((a, b) -> ifNull(near(a, b), isNull(a) AND isNull(b))) AS alike,
    (q -> if(empty(latency.1), NULL, exp2((arrayFirst((bucket, seen) -> seen >= (q - 1e-9) * arraySum(latency.2),
        latency.1, arrayCumSum(latency.2)) + 0.5) / 8))) AS quantile,
expected AS
(
    SELECT
        true AS here, service, environment, minute, deployment_id, deployed_version,
        max(canonical_service) AS canonical_service,
        count() AS observations,
        sumKahanIf(ifNull(weight, 1), NOT measured AND (ok IS NOT NULL OR duration_ms IS NOT NULL)) AS requests,
        sumKahanIf(ifNull(weight, 1), NOT measured AND ifNull(NOT ok, false)) AS errors,
        uniqExactIf(user, user != '') AS users,
        groupUniqArrayIf((name, user), user != '' AND recorded AND ifNull(ok, true)) AS done,
        CAST(arrayMap(one -> (one, arrayCount(pair -> pair.1 = one, done)), arraySort(arrayDistinct(done.1))), 'Map(String, UInt64)') AS conversions,
        sumMapIf([if(duration_ms > 0, toInt16(ceil(8 * log2(assumeNotNull(duration_ms))) - 1), toInt16(-32768))], [ifNull(weight, 1)],
            duration_ms IS NOT NULL) AS latency,
        sumKahanIf(assumeNotNull(duration_ms) * ifNull(weight, 1), duration_ms IS NOT NULL) AS latency_sum_ms,
        quantile(0.5) AS p50_ms, quantile(0.95) AS p95_ms, quantile(0.99) AS p99_ms,
        countIf(measured) AS measurements,
        sumKahanIf(ifNull(requests_said, 0), measured) AS measured_requests,
        sumKahanIf(coalesce(errors_said, requests_said * (1 - success_ratio), 0), measured) AS measured_errors,
        sumKahanIf(ifNull(success_ratio, 0), measured AND requests_said IS NULL) AS success_ratio_sum,
        countIf(measured AND requests_said IS NULL AND success_ratio IS NOT NULL) AS success_ratio_count,
        sumKahanIf(assumeNotNull(latency_ms) * ifNull(requests_said, 1), measured AND latency_ms IS NOT NULL) AS measured_latency_sum_ms,
        sumKahanIf(ifNull(requests_said, 1), measured AND latency_ms IS NOT NULL) AS measured_latency_weight,
        nullIf(maxIf(ifNull(latency_p99_ms, 0), measured), 0) AS measured_p99_ms
    FROM (SELECT * EXCEPT (requests, errors), requests AS requests_said, errors AS errors_said FROM whence_oracle.answers)
    WHERE service != ''
    GROUP BY service, environment, minute, deployment_id, deployed_version
),
stored AS
(
    SELECT
        true AS here, CAST(service, 'String') AS service, CAST(environment, 'String') AS environment, minute,
        CAST(deployment_id, 'String') AS deployment_id, CAST(deployed_version, 'String') AS deployed_version,
        * EXCEPT (service, environment, minute, deployment_id, deployed_version)
    FROM whence.vitals
    WHERE fromUnixTimestamp64Milli({start}, 'UTC') <= minute AND minute < fromUnixTimestamp64Milli({end}, 'UTC')
        AND cityHash64(service, environment, toStartOfMinute(minute)) % 1000000 < {share}
),
minutes AS
(
    SELECT
        service, environment, minute,
        concat(environment, '/', service, ' ', toString(minute), ' ', deployment_id, if(deployment_id = '', deployed_version, '')) AS item,
        multiIf(
            NOT e.here, [('row', 'absent', 'stored', false)],
            NOT s.here, [('row', 'expected', 'absent', false)],
            [
                ('canonical_service', e.canonical_service, CAST(s.canonical_service, 'String'), e.canonical_service = s.canonical_service),
                ('observations', toString(e.observations), toString(s.observations), e.observations = s.observations),
                ('requests', toString(e.requests), toString(s.requests), alike(e.requests, s.requests)),
                ('errors', toString(e.errors), toString(s.errors), alike(e.errors, s.errors)),
                ('users', toString(e.users), toString(s.users), e.users = s.users),
                ('conversions', toString(e.conversions), toString(mapSort(s.conversions)), toString(e.conversions) = toString(mapSort(s.conversions))),
                ('latency', toString(e.latency), toString((mapKeys(s.latency), mapValues(s.latency))), e.latency.1 = mapKeys(s.latency)
                    AND arrayAll((a, b) -> alike(a, b), e.latency.2, arrayResize(mapValues(s.latency), length(e.latency.2)))),
                ('latency_sum_ms', toString(e.latency_sum_ms), toString(s.latency_sum_ms), alike(e.latency_sum_ms, s.latency_sum_ms)),
                ('p50_ms', ifNull(toString(e.p50_ms), 'null'), ifNull(toString(s.p50_ms), 'null'), alike(e.p50_ms, s.p50_ms)),
                ('p95_ms', ifNull(toString(e.p95_ms), 'null'), ifNull(toString(s.p95_ms), 'null'), alike(e.p95_ms, s.p95_ms)),
                ('p99_ms', ifNull(toString(e.p99_ms), 'null'), ifNull(toString(s.p99_ms), 'null'), alike(e.p99_ms, s.p99_ms)),
                ('measurements', toString(e.measurements), toString(s.measurements), e.measurements = s.measurements),
                ('measured_requests', toString(e.measured_requests), toString(s.measured_requests), alike(e.measured_requests, s.measured_requests)),
                ('measured_errors', toString(e.measured_errors), toString(s.measured_errors), alike(e.measured_errors, s.measured_errors)),
                ('success_ratio_sum', toString(e.success_ratio_sum), toString(s.success_ratio_sum), alike(e.success_ratio_sum, s.success_ratio_sum)),
                ('success_ratio_count', toString(e.success_ratio_count), toString(s.success_ratio_count), e.success_ratio_count = s.success_ratio_count),
                ('measured_latency_sum_ms', toString(e.measured_latency_sum_ms), toString(s.measured_latency_sum_ms), alike(e.measured_latency_sum_ms, s.measured_latency_sum_ms)),
                ('measured_latency_weight', toString(e.measured_latency_weight), toString(s.measured_latency_weight), alike(e.measured_latency_weight, s.measured_latency_weight)),
                ('measured_p99_ms', ifNull(toString(e.measured_p99_ms), 'null'), ifNull(toString(s.measured_p99_ms), 'null'), alike(e.measured_p99_ms, s.measured_p99_ms))
            ]) AS columns
    FROM expected AS e
    FULL OUTER JOIN stored AS s USING (service, environment, minute, deployment_id, deployed_version)
)
SELECT
    {round}, 'vitals', item, column.1,
    (service, environment, minute) IN
    (
        SELECT service, environment, minute
        FROM
        (
            SELECT service, environment, minute, touch, rows FROM whence_oracle.touched
            UNION ALL
            SELECT service, environment, minute, sumWithOverflow(touches.touch), sum(touches.rows)
            FROM whence_state.touches
            WHERE service != '' AND fromUnixTimestamp64Milli({start}, 'UTC') <= minute AND minute < fromUnixTimestamp64Milli({end}, 'UTC')
            GROUP BY service, environment, minute
        )
        GROUP BY service, environment, minute, touch, rows
        HAVING count() = 1
    )
    OR (service, environment, minute) IN
    (
        SELECT service, environment, minute
        FROM whence_oracle.answers
        WHERE row IN (SELECT row FROM whence_oracle.suspects WHERE newer)
    ),
    item, left(column.2, 1000), left(column.3, 1000)
FROM minutes
ARRAY JOIN arrayFilter(column -> NOT column.4, columns) AS column;
