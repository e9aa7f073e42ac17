import numpy
import sklearn


class Held:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("freed", self.name)


numpy.held = Held("by a module")
sklearn.__path__.append(Held("by something in a module"))
file = open("held.txt", "w")
file.write("not flushed yet")
numpy.file = file
del file
print("end")
