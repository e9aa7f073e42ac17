import runpy
import sys

print(runpy.run_path("other.py", run_name="__main__")["VALUE"])
print(sys.modules["__main__"].__file__, __name__)
