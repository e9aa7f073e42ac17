import os
import socket

for name in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        target = os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:
        target = "the listing's own"
    print(name, target.partition(":")[0], os.get_inheritable(int(name)) if int(name) < 3 else "")
print(os.open("/dev/null", os.O_RDONLY), socket.socket().fileno())
os.system("ls /proc/self/fd | wc -l")
