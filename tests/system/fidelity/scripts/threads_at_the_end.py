import threading
import time


def slow(number, before):
    before.wait()
    time.sleep(0.1)
    print("thread", number, threading.current_thread().daemon)
    printed[number].set()


printed = [threading.Event() for _ in range(4)]
for number in (1, 2, 3):
    threading.Thread(target=slow, args=(number, printed[number - 1])).start()
threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
print("main ends", threading.active_count())
printed[0].set()
