-- What a job asked for, below the limits that are configured; NULL where it asked for nothing.

ALTER TABLE jobs ADD COLUMN memory_mb INTEGER;

ALTER TABLE jobs ADD COLUMN cpus REAL;
