-- Limits that a job requested, below the configured ones; NULL for no request.

ALTER TABLE jobs ADD COLUMN memory_mb INTEGER;

ALTER TABLE jobs ADD COLUMN cpus REAL;
