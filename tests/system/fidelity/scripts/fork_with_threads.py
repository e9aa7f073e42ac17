import os
import threading
import warnings

# Python 3.12 and later warn of this, with the pid, which is no one's concern
warnings.showwarning = lambda message, *_: print(message.args[0].replace(str(os.getpid()), "…"))
warnings.simplefilter("always")
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.read(reader, 1)  # when the parent has warned
    print("child", threading.active_count(), threading.current_thread().name)
    os._exit(0)
os.write(writer, b"!")
os.waitpid(child, 0)
stop.set()
thread.join()
