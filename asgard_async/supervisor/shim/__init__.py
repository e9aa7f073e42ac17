"""The processes between the service and a job. They use only the standard library.

Each attempt has two of them, in a separate session. The *keeper* waits for the end and kills all
processes that the job left behind. The *shim*, a child of the keeper, starts the job, copies its
output to the log, enforces its deadline and records how it ended. Neither depends on the service.
If one of them dies, the other kills the job's processes.

Imports delay every cold start, so they are few and cheap (no json, re, pathlib).
"""
