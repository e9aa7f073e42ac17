-- Lists can be filtered by what jobs were given: job_tags also has a row for each argument, parameter
-- and environment variable, under keys that tags of users cannot have. Of variables, only the names
-- are there.

INSERT OR IGNORE INTO job_tags (key, value, created_at, job_seq)
SELECT 'asgard.arg', argument.value, jobs.created_at, jobs.seq
FROM jobs, json_each(jobs.spec, '$.args') AS argument;

INSERT OR IGNORE INTO job_tags (key, value, created_at, job_seq)
SELECT 'asgard.environment_var', variable.key, jobs.created_at, jobs.seq
FROM jobs, json_each(jobs.spec, '$.environment_vars') AS variable;
