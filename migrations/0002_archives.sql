-- Jobs submitted as archives: the file of the archive to run, and the archive's name below archives/,
-- which belongs to this row alone. Such a job has no row in job_scripts.

ALTER TABLE jobs ADD COLUMN entrypoint TEXT;

ALTER TABLE jobs ADD COLUMN archive TEXT CHECK ((archive IS NULL) = (entrypoint IS NULL));

CREATE UNIQUE INDEX jobs_by_archive ON jobs (archive) WHERE archive IS NOT NULL;
