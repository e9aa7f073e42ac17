import matplotlib
import matplotlib.pyplot as plt

print(matplotlib.get_backend(), matplotlib.get_configdir() == matplotlib.get_cachedir())
print(matplotlib.matplotlib_fname() == matplotlib.get_data_path() + "/matplotlibrc")
print(plt.plot([1, 2])[0].get_xdata(), plt.get_fignums(), matplotlib.rcParams["figure.dpi"])
plt.savefig("figure.svg")
import os

print(os.path.getsize("figure.svg") > 1000)
os.remove("figure.svg")
