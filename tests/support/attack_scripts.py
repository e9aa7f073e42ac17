"""Pieces of hostile scripts, which print a line for each attack: BROKEN if it succeeded."""

PRELUDE = """
import idna  # preloaded, so that a job can start warm
import ctypes, os, signal, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attack(what, action):
    try:
        result = action()
    except BaseException as error:
        print("held", what, type(error).__name__, error)
    else:
        print("BROKEN", what, repr(result)[:200])
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
"""
"""Defines `attack(what, action)`, which must fail, and `call(name, …)` for functions of libc."""

FIND_CANARY = """
big = {"/usr", "/sys", "/opt", os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
seen = 0
for folder, directories, files in os.walk("/"):
    directories[:] = [name for name in directories if os.path.join(folder, name) not in big]
    for name in files:
        path = os.path.join(folder, name)
        try:
            # endless files are not read
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            text = os.read(descriptor, 1 << 20)
        except OSError:
            continue
        finally:
            os.close(descriptor)
        seen += 1
        if canary in text:
            print("BROKEN", path)
print("seen", seen > 100)
"""
"""Searches all files that the script can read for the bytes `canary`."""
