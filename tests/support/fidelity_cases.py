"""The scripts of the fidelity tests: files of scripts/, folders with a train.py, and a few more."""

from pathlib import Path

from tests.support.fidelity_starts import Case

SCRIPTS = Path(__file__).parents[1] / "system" / "fidelity" / "scripts"
PRINTS_ITS_NAME = "import sys\nprint(__file__, sys.argv, sys.path[0])\nraise ValueError\n"


def _read(path: Path) -> Case:
    if path.is_file():
        return Case(script=path.read_text())
    files = {
        str(file.relative_to(path)): file.read_text()
        for file in path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    return Case(script=files.pop("train.py"), files=files)


CASES = {
    **{path.stem: _read(path) for path in sorted(SCRIPTS.iterdir()) if path.name != "__pycache__"},
    "name_like_an_option": Case(name="-odd.py", script=PRINTS_ITS_NAME),
    "name_in_a_folder": Case(
        name="src/deep/train.py",
        files={"src/deep/near.py": "NEAR = 1", "far.py": "FAR = 1"},
        script=f"import near\n{PRINTS_ITS_NAME}",
    ),
    "name_with_spaces": Case(name="my script (2) ü.py", script=PRINTS_ITS_NAME),
    "script_that_ends_without_a_newline": Case(script="print('no newline')"),
    "script_with_a_byte_order_mark": Case(script="\ufeffprint('ä')"),
    "script_that_does_not_compile": Case(script="print(1)\nx = = 2\n"),
    "arguments": Case(arguments=("--epochs", "3", ""), script="import sys; print(sys.argv)"),
    "variables_of_its_own": Case(
        variables={"EPOCHS": "3", "EMPTY": "", "ÄÖ": "ü"},
        script="import os; print({k: v for k, v in os.environ.items() if k in 'EPOCHS EMPTY ÄÖ'})",
    ),
}
