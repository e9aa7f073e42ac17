import os
from pathlib import Path

import beside
from data import module

print(os.getcwd(), os.path.abspath("x"), sorted(os.listdir()))
print(beside.HERE, module.__file__, Path("data/values.txt").read_text())
Path("made.txt").write_text(__file__)
os.makedirs("deep/er")
Path("deep/er/file").write_text("1")
