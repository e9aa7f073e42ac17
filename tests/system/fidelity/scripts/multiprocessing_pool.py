import multiprocessing
from concurrent.futures import ProcessPoolExecutor


def square(n):
    return n * n


def fails(n):
    raise ValueError(n)


if __name__ == "__main__":
    for method in ("spawn", "fork", "forkserver"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            print(method, list(pool.map(square, range(8))))
            print(repr(pool.submit(fails, 3).exception()))
        with context.Pool(2) as old:
            print(old.map(square, range(8)))
    with multiprocessing.Manager() as manager:
        shared = manager.dict(a=1)
        print(dict(shared))
