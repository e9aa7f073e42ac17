import os
import threading
import warnings

warnings.simplefilter("always")
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
child = os.fork()  # Python 3.12 and later warn of this
if child == 0:
    print("child", threading.active_count(), threading.current_thread().name)
    os._exit(0)
os.waitpid(child, 0)
stop.set()
thread.join()
