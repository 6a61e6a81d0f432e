-- Seals of minutes, each with the sums of touches as they were read before. A minute whose observations are gone since gets
-- a seal without deployments: it would be open for ever otherwise. One thread, because nobody waits for it, and because
-- several would each have a set of users to merge with the others'.
INSERT INTO whence_state.sealed
(
    service, environment, minute, touch, rows, canonical_service,
    deployments.deployment_id, deployments.deployed_version, deployments.observations, deployments.requests,
    deployments.errors, deployments.users, deployments.conversions, deployments.latency, deployments.latency_sum_ms,
    deployments.measurements, deployments.measured_requests, deployments.measured_errors,
    deployments.success_ratio_sum, deployments.success_ratio_count,
    deployments.measured_latency_sum_ms, deployments.measured_latency_weight, deployments.measured_p99_ms
)
WITH looked AS
(
    SELECT
        m.1 AS service, m.2 AS environment, toDateTime(m.3, 'UTC') AS minute, m.4 AS touch, m.5 AS rows
    FROM (SELECT arrayJoin({looked}) AS m)
)
SELECT looked.service, looked.environment, looked.minute, looked.touch, looked.rows, v.* EXCEPT (service, environment, minute)
FROM looked
LEFT JOIN
(
    SELECT
        service, environment, minute, max(canonical_service),
        groupArray(deployment_id), groupArray(deployed_version), groupArray(observations), groupArray(requests),
        groupArray(errors), groupArray(users), groupArray(conversions), groupArray(latency), groupArray(latency_sum_ms),
        groupArray(measurements), groupArray(measured_requests), groupArray(measured_errors),
        groupArray(success_ratio_sum), groupArray(success_ratio_count),
        groupArray(measured_latency_sum_ms), groupArray(measured_latency_weight), groupArray(measured_p99_ms)
    FROM whence_state.vitals_computed
    WHERE (service, environment, minute) IN (SELECT service, environment, minute FROM looked)
    GROUP BY service, environment, minute
) AS v ON v.service = looked.service AND v.environment = looked.environment AND v.minute = looked.minute
SETTINGS max_threads = 1
