import io
import locale
import sys
import time

print(locale.getlocale(), locale.setlocale(locale.LC_ALL), locale.localeconv()["decimal_point"])
print(locale.getpreferredencoding(), sys.getfilesystemencoding(), io.text_encoding(None))
print(open("train.py").encoding, "äöü €", time.tzname, time.timezone)
