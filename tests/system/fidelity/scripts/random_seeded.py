import random

import numpy
from sklearn.ensemble import RandomForestClassifier

random.seed(1)
numpy.random.seed(1)
print(random.random(), numpy.random.rand(), numpy.random.default_rng(1).random())
print(random.Random(5).random(), numpy.random.RandomState(5).rand())
model = RandomForestClassifier(n_estimators=5, random_state=0)
print(model.fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]).predict_proba([[1.4]]))
