"""Programs that exceed their limits. Each has its own bound in case a limit fails."""

MEMORY_HOG = """
import multiprocessing, time
def hog(_):
    taken = []
    for _ in range(200):
        taken.append(bytearray(8 << 20))
        time.sleep(0.002)
    time.sleep(60)
if __name__ == "__main__":
    with multiprocessing.Pool(4) as pool:  # which starts killed workers again, and waits for ever
        pool.map(hog, range(4))
"""

SHM_FILLER = """
import os
path = "/dev/shm/" + os.environ["ASGARD_JOB_ID"]
file = open(path, "wb", buffering=0)
os.unlink(path)
for _ in range(1024):
    file.write(b"x" * (1 << 20))
"""

FORK_BOMB = """
import os, sys, time
children = 0
for _ in range(400):
    try:
        child = os.fork()
    except BlockingIOError as error:
        print(children, error, flush=True)
        sys.exit(11)
    if child == 0:
        time.sleep(20)
        os._exit(0)
    children += 1
"""

FILLER = """
import os, time
os.makedirs(PLACE, exist_ok=True)
for number in range(600):
    with open(f"{PLACE}/{number}", "wb") as file:
        file.write(b"x" * (1 << 20))
time.sleep(60)
"""

HIDDEN_FILES = {
    "removed": """
held = []
for number in range(30):
    held.append(os.open("file", os.O_CREAT | os.O_WRONLY))
    os.unlink("file")
    os.posix_fallocate(held[-1], 0, 10 << 20)
""",
    "deep": """
for number in range(60):  # 12 000 characters; the kernel takes 4096
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
os.posix_fallocate(os.open("file", os.O_CREAT | os.O_WRONLY), 0, 300 << 20)
""",
}
"""300 MiB that a directory walk does not find."""

HIDING = """
import os, signal, time
def stay(mark):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"up\\n")
    if mark == "exec":
        os.execve("/bin/sleep", ["sleep", "600"], {})
    time.sleep(600)
for kind in ("plain", "session", "double", "exec"):
    if os.fork() == 0:
        if kind != "plain":
            os.setsid()
        if kind in ("double", "exec") and os.fork():
            os._exit(0)
        os.chdir("/")
        stay(kind)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stay("main")
"""
"""Five processes that try to survive, each hidden differently."""
