import concurrent.futures
import threading

with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(list(pool.map(lambda n: n * n, range(10))))
print(threading.active_count())
