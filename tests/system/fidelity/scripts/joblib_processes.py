import os

import joblib
import numpy


class Model:
    def __init__(self, weight):
        self.weight = weight

    def predict(self, n):
        return self.weight * n


def work(model, n):
    return model.predict(n), __name__


def mean(values, n):
    return float(values.mean()) + n


results = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(Model(2), n) for n in range(6))
print(results)
big = numpy.ones(1_000_000)  # goes by a memory map
print(joblib.Parallel(n_jobs=2)(joblib.delayed(mean)(big, n) for n in range(4)))
print(joblib.Parallel(n_jobs=2, backend="multiprocessing")(joblib.delayed(abs)(-n) for n in [1]))
print(joblib.cpu_count() == len(os.sched_getaffinity(0)))
