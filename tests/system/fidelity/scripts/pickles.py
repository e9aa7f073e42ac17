import pickle
from pathlib import Path

import joblib


class Model:
    def __init__(self):
        self.values = [1, 2.5, "drei"]


text = pickle.dumps(Model(), 4)
print(text, pickle.loads(text).values, type(pickle.loads(text)) is Model)
joblib.dump(Model(), "model.joblib")
print(joblib.load("model.joblib").values)
Path("model.joblib").rename("model.bin")
