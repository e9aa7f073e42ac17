-- The isolation level of a job's current attempt, NULL before its start and for earlier jobs; and
-- another reason for a cold start, which needs a new column.

ALTER TABLE jobs ADD COLUMN isolation TEXT CHECK (isolation IN (
    'sandbox', 'sandbox-lite', 'user', 'process'
));

ALTER TABLE jobs ADD COLUMN reason_for_cold TEXT CHECK (reason_for_cold IN (
    'off', 'requested', 'imports', 'modules', 'variables', 'requirements', 'memory_limit', 'no_server',
    'not_ready', 'isolation', 'server_lost'
));
UPDATE jobs SET reason_for_cold = cold_reason;
ALTER TABLE jobs DROP COLUMN cold_reason;
ALTER TABLE jobs RENAME COLUMN reason_for_cold TO cold_reason;
