import faulthandler
import signal
import sys

print(faulthandler.is_enabled())


def inner():
    faulthandler.dump_traceback(all_threads=True)


inner()
faulthandler.register(signal.SIGUSR1, all_threads=False)
signal.raise_signal(signal.SIGUSR1)
faulthandler.dump_traceback_later(0.5, file=sys.stderr, exit=True)
signal.pause()
