import sys
import threading


class Unraisable:
    def __del__(self):
        raise ValueError("in __del__")


def in_thread():
    raise TypeError("in a thread")


Unraisable()
thread = threading.Thread(target=in_thread, name="worker")
thread.start()
thread.join()
print(hasattr(sys, "last_value"), hasattr(sys, "last_exc"), sys.exc_info())
print(sys.excepthook is sys.__excepthook__)
sys.excepthook = lambda kind, value, tb: print("own hook:", kind, value, tb.tb_next)
raise KeyError("seen by the hook")
