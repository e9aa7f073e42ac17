import subprocess
import sys

code = "import sys; print(sys.argv, sys.flags.unbuffered, 'numpy' in sys.modules)"
print(subprocess.run([sys.executable, "-c", code, "x"], capture_output=True, text=True))
print(subprocess.run("exit 3", shell=True).returncode)
subprocess.run(["sh", "-c", "echo from a child; echo and its error >&2"])
try:
    subprocess.run(["no-such-program"])
except FileNotFoundError as error:
    print(error)
