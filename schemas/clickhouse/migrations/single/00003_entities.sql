-- +goose Up

-- Entities: each row is a pure function of the facts that count of that entity, in whatever order they came. It is
-- computed anew after a batch of facts, as of the batch's revision, by the statements of schemas/clickhouse/entities:
-- the latest revision wins. A row of an entity that nothing is said of any more is marked and hidden by FINAL.

-- One row a service in an environment.
CREATE TABLE IF NOT EXISTS whence.services
(
    service String,
    environment LowCardinality(String) COMMENT 'Empty: what holds in every environment',
    owner LowCardinality(String),
    tier LowCardinality(String) COMMENT 'How much it matters, in the owners words',
    depends_on Array(String) COMMENT 'Services it calls, as last stated; may be stated to be none',
    repositories Array(String),
    paths Array(String),
    aliases Array(String) COMMENT 'Every other name ever stated',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (service, environment)
COMMENT 'Services as their owners declare them. Read it with FINAL';

-- One row a change: merged code, configuration, a migration, infrastructure.
CREATE TABLE IF NOT EXISTS whence.changes
(
    change_id String,
    kind LowCardinality(String) COMMENT 'change.merged, configuration.changed, migration.applied, infrastructure.changed',
    repository LowCardinality(String),
    merged_revision String COMMENT 'The revision it became',
    revisions Array(String) COMMENT 'That one and those of its commits',
    title String COMMENT 'Title or summary',
    author LowCardinality(String) COMMENT 'Who wrote or made it',
    services Array(String) COMMENT 'Services it touches, as stated',
    environment LowCardinality(String) COMMENT 'Empty: none stated',
    paths Array(String),
    size Nullable(Float64) COMMENT 'Lines added and removed',
    reverts String COMMENT 'The change or revision it takes back',
    scope String COMMENT 'What it reaches, JSON',
    first_authored_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Of its commits: where lead time starts',
    changed_at DateTime64(3, 'UTC') COMMENT 'When it was merged or made',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (change_id)
COMMENT 'What was changed, by whom. Read it with FINAL';

-- One row a deployment.
CREATE TABLE IF NOT EXISTS whence.deployments
(
    deployment_id String,
    service LowCardinality(String),
    environment LowCardinality(String),
    version LowCardinality(String),
    previous_version LowCardinality(String) COMMENT 'As stated; empty: not stated',
    revisions Array(String) COMMENT 'Revisions it brings',
    artifact String,
    strategy LowCardinality(String) COMMENT 'rolling, canary, blue_green, ...',
    phase LowCardinality(String) COMMENT 'As last stated: paused, promoted, aborted, rolling_back',
    state LowCardinality(String) COMMENT 'in_progress, or how it ended: success, failure, cancelled, rolled_back',
    percent Nullable(Float64) COMMENT 'As last stated, 0 to 100',
    replicas Nullable(Float64),
    outcome LowCardinality(String) COMMENT 'success, failure, cancelled, rolled_back; empty: not ended',
    started_at DateTime64(3, 'UTC') COMMENT 'Its earliest stage',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'null: in progress',
    completed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Success, or 100 percent; null: neither',
    failed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Ended as failure, cancelled or rolled_back',
    percents Array(Float64) COMMENT 'The percents stated, in order of time',
    percent_times Array(DateTime64(3, 'UTC')) COMMENT 'When each of them was stated',
    instances_added Array(String),
    instances_removed Array(String),
    rollback_of String COMMENT 'The deployment it takes back',
    planned Nullable(Bool),
    reason String,
    remediates Array(String) COMMENT 'Incidents or findings it is to end',
    requested_by LowCardinality(String),
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (deployment_id)
COMMENT 'What was deployed where, and how it went. Read it with FINAL';

-- One row a flag in an environment, as it stands now.
CREATE TABLE IF NOT EXISTS whence.flags
(
    flag String,
    environment LowCardinality(String),
    rules String COMMENT 'Variant to percent or segment, JSON',
    previous String COMMENT 'The rules before, JSON, as stated',
    services Array(String) COMMENT 'Services the last change names; empty: any',
    changed_by LowCardinality(String),
    changed_at DateTime64(3, 'UTC'),
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (flag, environment)
COMMENT 'Feature flags and their rules in force. Read it with FINAL';

-- One row an alert.
CREATE TABLE IF NOT EXISTS whence.alerts
(
    alert_id String,
    fingerprint String COMMENT 'What makes two alerts the same',
    incident_id String,
    service LowCardinality(String),
    environment LowCardinality(String),
    severity LowCardinality(String),
    summary String,
    labels Map(String, String),
    fired_at Nullable(DateTime64(3, 'UTC')),
    resolved_at Nullable(DateTime64(3, 'UTC')) COMMENT 'null: firing',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (alert_id)
COMMENT 'Alerts and how long they fired. Read it with FINAL';

-- One row an incident.
CREATE TABLE IF NOT EXISTS whence.incidents
(
    incident_id String,
    service LowCardinality(String) COMMENT 'As last stated',
    services Array(String) COMMENT 'Every service ever named',
    environment LowCardinality(String),
    severity LowCardinality(String) COMMENT 'As last stated',
    priority LowCardinality(String) COMMENT 'As last stated',
    title String,
    started_at DateTime64(3, 'UTC') COMMENT 'Onset of impact: as last stated, else when it was opened',
    detected_at Nullable(DateTime64(3, 'UTC')) COMMENT 'As stated',
    opened_at Nullable(DateTime64(3, 'UTC')),
    acknowledged_at Nullable(DateTime64(3, 'UTC')),
    resolved_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Resolved or merged, since it was last reopened; null: open',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'End of impact: as stated since it was last reopened, else when it was resolved; null: goes on',
    reopened UInt64 COMMENT 'How often',
    state LowCardinality(String) COMMENT 'open, resolved, merged',
    merged_into String COMMENT 'The incident it is part of',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (incident_id)
COMMENT 'Incidents, from onset to end. Read it with FINAL';

-- One row a finding.
CREATE TABLE IF NOT EXISTS whence.findings
(
    finding_id String,
    kind LowCardinality(String) COMMENT 'vulnerability, audit, secret, misconfiguration',
    rule LowCardinality(String) COMMENT 'Rule or CVE it breaks',
    severity LowCardinality(String) COMMENT 'As last stated',
    service LowCardinality(String),
    environment LowCardinality(String) COMMENT 'Empty: every environment',
    artifact String,
    repository LowCardinality(String),
    revision_introduced String,
    revision_fixed String,
    control LowCardinality(String) COMMENT 'The control it violates',
    first_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'As stated',
    due_at Nullable(DateTime64(3, 'UTC')),
    evidence_url String,
    opened_at Nullable(DateTime64(3, 'UTC')),
    last_seen_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last opened, or listed as open by a scan',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Remediated, accepted, or missing in a whole scan; null: open',
    reopened UInt64 COMMENT 'How often it was open again after that',
    state LowCardinality(String) COMMENT 'open, remediated, accepted',
    sightings UInt64 COMMENT 'How many scans list it',
    facts UInt64 COMMENT 'How many facts say this, those of scans among them',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (finding_id)
COMMENT 'Vulnerabilities, audit findings, secrets, misconfigurations. Read it with FINAL';

-- One row an experiment.
CREATE TABLE IF NOT EXISTS whence.experiments
(
    experiment String,
    hypothesis String,
    unit LowCardinality(String) COMMENT 'user or session',
    variants Map(String, Float64) COMMENT 'Variant to weight, relative to the others',
    primary_metric LowCardinality(String),
    guardrails Array(String) COMMENT 'Metrics that must not get worse',
    services Array(String),
    started_at Nullable(DateTime64(3, 'UTC')),
    stopped_at Nullable(DateTime64(3, 'UTC')) COMMENT 'null: runs',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (experiment)
COMMENT 'Product experiments. Read it with FINAL';

-- One row a build.
CREATE TABLE IF NOT EXISTS whence.builds
(
    build_id String,
    repository LowCardinality(String),
    built_revision String,
    outcome LowCardinality(String) COMMENT 'success, failure, cancelled, ...',
    started_at Nullable(DateTime64(3, 'UTC')) COMMENT 'As stated',
    duration_ms Nullable(Float64),
    artifact String COMMENT 'What it made',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (build_id)
COMMENT 'Builds and how they ended. Read it with FINAL';

-- One row a case of a test run.
CREATE TABLE IF NOT EXISTS whence.tests
(
    run_id String,
    suite LowCardinality(String),
    case String COMMENT 'Empty: the whole suite',
    tested_revision String,
    outcome LowCardinality(String) COMMENT 'success, failure, skipped, ...',
    duration_ms Nullable(Float64),
    flaky Nullable(Bool) COMMENT 'Known to fail without a cause',
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (run_id, suite, case)
COMMENT 'Test runs and how they ended. Read it with FINAL';

-- One row an artifact.
CREATE TABLE IF NOT EXISTS whence.artifacts
(
    artifact String COMMENT 'Package URL',
    built_revision String COMMENT 'The revision it was built from',
    signed_by LowCardinality(String),
    published_at DateTime64(3, 'UTC'),
    facts UInt64 COMMENT 'How many facts say this',
    source String COMMENT 'Of the last of them, by event time',
    id String COMMENT 'Of the last of them',
    type LowCardinality(String) COMMENT 'Of the last of them',
    time DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    received_at DateTime64(3, 'UTC') COMMENT 'Of the last of them',
    topic LowCardinality(String) COMMENT 'Of the last of them',
    partition Int32,
    offset Int64,
    revision UInt64 COMMENT 'How much was known when this row was derived',
    is_deleted UInt8 COMMENT '1: nothing is said of it any more; FINAL hides the row'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
ORDER BY (artifact)
COMMENT 'What was built and published. Read it with FINAL';

-- +goose Down

DROP TABLE IF EXISTS whence.services;
DROP TABLE IF EXISTS whence.changes;
DROP TABLE IF EXISTS whence.deployments;
DROP TABLE IF EXISTS whence.flags;
DROP TABLE IF EXISTS whence.alerts;
DROP TABLE IF EXISTS whence.incidents;
DROP TABLE IF EXISTS whence.findings;
DROP TABLE IF EXISTS whence.experiments;
DROP TABLE IF EXISTS whence.builds;
DROP TABLE IF EXISTS whence.tests;
DROP TABLE IF EXISTS whence.artifacts;
