"""What stands between the service and a job's process. Standard library alone.

An attempt is two processes in a session of their own. The *keeper* waits, and at the end kills
whatever the job left behind. The *shim*, its child, starts the job, pumps its output into the log,
owns its deadline and writes down how it ended. Neither needs the service to live. If one of them
dies, the other clears the job's tree.

Imports are few and cheap on purpose (no json, re, pathlib): they are paid by every cold job.
"""
