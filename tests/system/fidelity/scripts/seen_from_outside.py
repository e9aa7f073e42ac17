from pathlib import Path

print(Path("/proc/self/cmdline").read_bytes(), Path("/proc/self/environ").read_bytes())
print(Path("/proc/self/exe").resolve(), Path("/proc/self/auxv").stat().st_size)
# the heap can still grow
print(len(bytearray(1 << 26)), len([str(number) for number in range(100_000)]))
