"""The processes between the service and a job. They use only the standard library.

An attempt has two of them, in a session of their own. The *keeper* waits, and finally kills
whatever the job left behind. The *shim*, its child, starts the job, copies its output to the log,
enforces its deadline and records how it ended. Neither needs the service. If one of them dies, the
other kills the job's processes.

Every cold job pays for the imports, so they are few and cheap (no json, re, pathlib).
"""
