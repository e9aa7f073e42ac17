import os

HERE = os.path.dirname(__file__)
