import doctest
import unittest


def double(n):
    """
    >>> double(2)
    5
    """
    return n * 2


class Works(unittest.TestCase):
    def test_fails(self):
        self.assertEqual(double(1), 3)


print(doctest.testmod())
suite = unittest.defaultTestLoader.loadTestsFromName("__main__.Works")
result = unittest.TestResult()
suite.run(result)
print(result, result.failures[0][1])
