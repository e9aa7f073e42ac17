import os
import threading

print(threading.main_thread().native_id == os.getpid() == threading.get_native_id())
print(os.listdir(f"/proc/{os.getpid()}/task") == [str(os.getpid())])
