"""The docstring."""

from __future__ import annotations

import __main__
import inspect
import sys
import typing

x: int = 1


class Point:
    """A class of __main__."""

    y: "x.__class__" = 2


def function(a: Point) -> int:
    return 1


print(__name__, __file__, __doc__, __package__, __spec__)
print(__loader__.name, __loader__.path, type(__loader__))
print(list(vars()))
print(__annotations__, __builtins__, __cached__ if "__cached__" in globals() else "none")
print(__main__ is sys.modules["__main__"], vars(__main__) is globals(), __main__)
print(Point.__module__, Point, function.__globals__ is globals())
print(typing.get_type_hints(function))
print(inspect.getsource(function), inspect.getfile(Point))
print(list(sys.modules).index("__main__"))
