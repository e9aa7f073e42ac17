import os
import threading
import warnings

warnings.simplefilter("error")
child = os.fork()
if child == 0:
    print("child", threading.main_thread() is threading.current_thread())
    raise SystemExit(4)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
