import atexit
import weakref


class Global:
    def __del__(self):
        print("deleted with the module", print is not None)


class Finalized:
    pass


def fails():
    raise ValueError("in atexit")


kept, finalized = Global(), Finalized()
weakref.finalize(finalized, print, "finalized")
atexit.register(print, "first registered")
atexit.register(fails)
atexit.register(print, "last registered")
print("end of the script")
