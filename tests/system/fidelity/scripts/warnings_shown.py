import warnings


def old():
    warnings.warn("use the new one", DeprecationWarning, stacklevel=2)


def from_library():
    warnings.warn_explicit("not for users", DeprecationWarning, "lib.py", 1, module="lib")


for _ in range(3):
    old()
    from_library()
    warnings.warn("once for each place")
warnings.warn("far above", stacklevel=9)
open("train.py")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    old()
    print(len(caught), caught[0].filename, caught[0].lineno)
warnings.simplefilter("error")
warnings.warn("now an error")
