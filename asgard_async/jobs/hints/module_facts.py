"""Facts about a module that cannot be imported."""

import posixpath
import re
import sys
from collections.abc import Collection, Iterator

from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.found import Facts
from asgard_async.jobs.hints.package_names import package_names
from asgard_async.jobs.hints.required import is_required, normalized

ROOT = "."


def add_module_facts(job: FailedJob, module: str, facts: Facts) -> None:
    """Add the facts about a missing module; the first one that is true of these:

    `platform`: only {platform} has it
    `own`: the archive has it in {folder}, where Python does not look
    `present`: the archive has it where Python looks
    `inside own`: it would be part of {top}, which the archive has
    `known`: {package} provides it, whose name differs
    `inside`: it would be part of {top}, which is installed
    `removed`: Python no longer has it since {version}; {remedy}
    `standard`: it is part of Python
    `same`: a well-known package of the same name, {package}, provides it
    `own name`: it has a name that people give to their own modules
    `elsewhere`: PyPI has no such package, or a stranger's
    `unknown`: none of these
    And besides:
    `required`: the submission's requirements include {package}
    """
    top = module.partition(".")[0]
    facts.values.update({"module": module, "top": top, "package": top.replace("_", "-")})
    facts.names.add(_kind_of(job, module, top, facts.values))
    if is_required(facts.values["package"], job.requirements):
        facts.names.add("required")


def add_distribution_facts(_: FailedJob, distribution: str, facts: Facts) -> None:
    """Add `named as its module` if a required package has the name of a module of {package}."""
    for module, package in package_names().packages.items():
        if normalized(module) == normalized(distribution) != normalized(package):
            facts.names.add("named as its module")
            facts.values["package"] = package


def _kind_of(job: FailedJob, module: str, top: str, values: dict[str, str]) -> str:
    names = package_names()
    imported = _imported(module, job.traceback)
    provided = next((part for part in _prefixes(imported) if part in names.packages), None)
    is_known = provided is not None and f"{provided}.".startswith(f"{module}.")
    if provided is not None:
        values["package"] = names.packages[provided]
    for part in _prefixes(imported):
        if part in names.platforms:
            values["platform"], values["module"] = names.platforms[part], part
            return "platform"
    if own := _kind_of_own(job, module, top, values, is_listed=is_known or top in names.same):
        return own
    if is_known:
        values["module"] = str(provided)
        return "known"
    return _kind_of_others(job, module, top, values)


def _kind_of_others(job: FailedJob, module: str, top: str, values: dict[str, str]) -> str:
    """Return the kind of a module that no package of another name provides."""
    names = package_names()
    if any(part in names.elsewhere for part in _prefixes(module)):
        return "elsewhere"
    if "." in module:
        return "inside"
    if top in names.removed:
        values["version"], values["remedy"] = names.removed[top]
        last = tuple(map(int, values["version"].split(".")))
        return "removed" if job.python > last else "standard"
    if top in sys.stdlib_module_names or top.startswith("_"):
        return "standard"
    if top in names.same:
        return "same"
    return "own name" if top in names.own else "unknown"


def _kind_of_own(
    job: FailedJob, module: str, top: str, values: dict[str, str], *, is_listed: bool
) -> str | None:
    """Return the kind of a module that is in the archive, or None."""
    if not job.is_archive or job.files is None:
        return None
    beside = posixpath.dirname(job.entrypoint) or ROOT
    folders = set(_folders_with(top, job.files))
    if beside in folders:
        return "present" if _is_in(job.files, beside, module) else "inside own"
    # a package's name deep in the archive is probably that of a folder
    if not folders or (is_listed and ROOT not in folders):
        return None
    values["folder"] = min(folders, key=lambda folder: (folder != ROOT, folder.count("/"), folder))
    values["beside"] = "the archive's root" if beside == ROOT else f'"{beside}"'
    return "own"


def _is_in(files: Collection[str], folder: str, module: str) -> bool:
    path = posixpath.normpath(posixpath.join(folder, *module.split(".")))
    return any(file == f"{path}.py" or file.startswith(f"{path}/") for file in files)


def _folders_with(top: str, files: Collection[str]) -> Iterator[str]:
    for file in files:
        if not file.endswith(".py"):
            continue
        *folders, name = file.split("/")
        if name == f"{top}.py":
            yield "/".join(folders) or ROOT
        elif top in folders:
            yield "/".join(folders[: folders.index(top)]) or ROOT


def _imported(module: str, traceback: str) -> str:
    """Return the name that the script imports, of which `module` may be the first part.

    `from google.cloud import storage` fails with "No module named 'google.cloud'".
    """
    name = re.escape(module)
    statement = re.compile(
        rf"(?<![\w.])(?:from {name}(?P<rest>(?:\.\w{{1,100}}){{0,9}}) import (?P<last>\w{{1,100}})"
        rf"|import {name}(?P<whole>(?:\.\w{{1,100}}){{0,9}})(?![\w.]))"
    )
    found = None
    for found in statement.finditer(traceback):  # noqa: B007  # the last one raised
        pass
    if found is None:
        return module
    return f"{module}{found['whole'] or ''}{found['rest'] or ''}.{found['last'] or ''}".rstrip(".")


def _prefixes(name: str) -> Iterator[str]:
    """Yield a dotted name and its parents, the longest first."""
    while name:
        yield name
        name = name.rpartition(".")[0]
