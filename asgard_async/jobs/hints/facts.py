"""The facts about a failed job that decide which hints are true for it."""

import re
from collections.abc import Callable, Mapping

from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.found import Facts
from asgard_async.jobs.hints.module_facts import add_distribution_facts, add_module_facts
from asgard_async.jobs.hints.path_facts import add_path_facts, add_program_facts
from asgard_async.jobs.hints.quoting import shown
from asgard_async.jobs.hints.required import is_required

HIDING = frozenset({"sandbox", "sandbox-lite"})
"""Isolation levels on which a job sees only a part of the machine's files."""
PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
UNTRUSTED_TYPES = re.compile(r"Untrusted types found in the file: \[(?P<types>[^\]\n]{0,4000})\]")
MOST_TYPES_SHOWN = 8


def facts_about(job: FailedJob, groups: Mapping[str, str]) -> Facts:
    """Return what is known about a job, and about what the groups of a message name.

    `archive`, `script`: what was uploaded
    `unlisted`: the files in its working directory are unknown
    `sandbox`, `sandbox-lite`, `user`, `process`: the isolation level; `hidden` for the first two
    `exit 2`, `SIGBUS`: how the script ended
    `proxy`: the submission sets a proxy
    `mlflow required`: the submission's requirements include mlflow
    For groups `path` and `program` see path_facts.py, for `module` and `distribution`
    module_facts.py.
    """
    facts = Facts(values={"experiment": shown(job.experiment_name)})
    facts.names.add("archive" if job.is_archive else "script")
    if job.files is None:
        facts.names.add("unlisted")
    if job.isolation is not None:
        facts.names.add(job.isolation)
        if job.isolation in HIDING:
            facts.names.add("hidden")
    if job.exit_code is not None:
        facts.names.add(f"exit {job.exit_code}")
    if job.signal is not None:
        facts.names.add(job.signal)
    if any(name.lower() in PROXIES for name in job.variables):
        facts.names.add("proxy")
    if is_required("mlflow", job.requirements):
        facts.names.add("mlflow required")
    for group, add in ABOUT_GROUPS.items():
        if group in groups:
            add(job, groups[group], facts)
    return facts


def _add_types(job: FailedJob, _: str, facts: Facts) -> None:
    """Add `types`: the types that skops does not trust, as a list in Python."""
    found = UNTRUSTED_TYPES.search(job.output)
    types = re.findall(r"'([\w.]{1,200})'", found["types"]) if found else []
    if not types:
        text = "[…]  # the types named in the message"
    elif len(types) > MOST_TYPES_SHOWN:
        text = f"{types[:MOST_TYPES_SHOWN]}"[:-1] + ", …]"
    else:
        text = f"{types}"
    facts.values["types"] = text


ABOUT_GROUPS: Mapping[str, Callable[[FailedJob, str, Facts], None]] = {
    "path": add_path_facts,
    "program": add_program_facts,
    "module": add_module_facts,
    "distribution": add_distribution_facts,
    "untrusted": _add_types,
}
