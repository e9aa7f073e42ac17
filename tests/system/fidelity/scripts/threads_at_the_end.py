import threading
import time


def slow(number):
    time.sleep(0.1 * number)
    print("thread", number, threading.current_thread().daemon)


for number in (1, 2, 3):
    threading.Thread(target=slow, args=(number,)).start()
threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
print("main ends", threading.active_count())
