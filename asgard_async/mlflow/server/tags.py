"""The tags that identify the job of a run or model."""

JOB_TAG = "asgard.job_id"
ATTEMPT_TAG = "asgard.attempt"
SERVER_TAG = "asgard.server_id"
OWN_TAGS = frozenset({JOB_TAG, ATTEMPT_TAG, SERVER_TAG})
