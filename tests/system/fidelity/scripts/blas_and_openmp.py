import os

import numpy
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info

values = numpy.random.default_rng(0).random((400, 400))
print(numpy.linalg.norm(values @ values.T) > 0)
model = HistGradientBoostingClassifier(max_iter=3).fit(values, values[:, 0] > 0.5)
print(model.score(values, values[:, 0] > 0.5) > 0.5)
for one in sorted(map(str, [(i["user_api"], i["prefix"], i["num_threads"]) for i in threadpool_info()])):
    print(one)
child = os.fork()
if child == 0:
    print("child", numpy.linalg.norm(values @ values.T) > 0)
    os._exit(0)
print(os.waitpid(child, 0)[1])
print(numpy.linalg.svd(values)[1].shape)
