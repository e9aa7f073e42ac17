"""Packages built by tests, to be installed without a registry."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

BACKEND = """
import os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = make()
    info = "{name}-1.dist-info"
    files[f"{{info}}/METADATA"] = "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\n"
    files[f"{{info}}/WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[f"{{info}}/RECORD"] = "".join(f"{{path}},,\\n" for path in [*files, f"{{info}}/RECORD"])
    wheel = "{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel
"""


def make_wheel(
    directory: Path,
    name: str,
    module: str,
    *,
    version: str = "1",
    further: Mapping[str, str] = {},
) -> Path:
    """Write a pure wheel with a module `name` and `further` files."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **further,
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, content)
    return wheel


def make_sdist(directory: Path, name: str, script: str) -> Path:
    """Write a source distribution, version 1, whose build runs `script`.

    `make()` in the script returns the files of the wheel by name.
    """
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        "pyproject.toml": (
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        ),
        "backend.py": BACKEND.format(name=name) + script,
    }
    sdist = directory / f"{name}-1.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"{name}-1/{path}")
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return sdist
