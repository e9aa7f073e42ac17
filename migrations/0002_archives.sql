-- Jobs whose program came as an archive: the file that is run in it, and the name of its file below
-- archives/, which is this row's alone. Such a job has no row in job_scripts.

ALTER TABLE jobs ADD COLUMN entrypoint TEXT;

ALTER TABLE jobs ADD COLUMN archive TEXT CHECK ((archive IS NULL) = (entrypoint IS NULL));

CREATE UNIQUE INDEX jobs_by_archive ON jobs (archive) WHERE archive IS NOT NULL;
