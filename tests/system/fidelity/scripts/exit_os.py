import atexit
import os

atexit.register(print, "never")
print("now", flush=False)
os._exit(7)
