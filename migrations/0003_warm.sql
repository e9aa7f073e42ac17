-- The modules that a job's program may import (JSON; NULL if unknown), which decide whether it starts
-- warm; and the reason for a cold start, NULL for a warm start or none yet.

ALTER TABLE jobs ADD COLUMN imports TEXT;

ALTER TABLE jobs ADD COLUMN cold_reason TEXT CHECK (cold_reason IN (
    'off', 'requested', 'imports', 'modules', 'variables', 'requirements', 'memory_limit', 'no_server',
    'not_ready', 'server_lost'
));

-- All earlier starts were cold.
UPDATE jobs SET cold_reason = 'off' WHERE started_at IS NOT NULL;
