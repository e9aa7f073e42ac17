import multiprocessing
import os
import sys


class Kept:
    def __init__(self, value):
        self.value = value


def work(queue, kept):
    parent = multiprocessing.parent_process()
    queue.put((kept.value * 2, multiprocessing.current_process().name, parent.name))
    queue.put((__name__, os.path.basename(sys.modules["__main__"].__file__), sys.argv))
    sys.exit(kept.value)


if __name__ == "__main__":
    print(multiprocessing.get_start_method(), multiprocessing.current_process())
    print(multiprocessing.parent_process(), multiprocessing.process.ORIGINAL_DIR == os.getcwd())
    for method in ("spawn", "fork", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=work, args=(queue, Kept(3)), name=f"a-{method}")
        process.start()
        print(method, queue.get(), queue.get())
        process.join()
        print(process.exitcode)
