-- +goose Up

-- Which of the operator's rules workers have worked by, the latest last: a replay by none would store what rules had
-- hidden or dropped.
CREATE TABLE IF NOT EXISTS whence_state.rules
(
    digest String COMMENT 'Of the rules and their keys; empty: none',
    used_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When a worker last began to work by them'
)
ENGINE = ReplacingMergeTree(used_at)
ORDER BY digest
COMMENT 'The rules that workers work by. Read it with FINAL';

-- +goose Down

DROP TABLE IF EXISTS whence_state.rules;
