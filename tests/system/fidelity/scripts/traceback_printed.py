import inspect
import logging
import sys
import traceback

logging.basicConfig(format="%(levelname)s %(message)s")


def where():
    traceback.print_stack()
    print(len(inspect.stack()), inspect.stack()[-1].function, sys._getframe(1).f_back)
    print([frame.line for frame in traceback.extract_stack()])
    logging.warning("with its stack", stack_info=True)


where()
try:
    1 / 0
except ZeroDivisionError:
    traceback.print_exc()
    logging.exception("failed")
    frame = sys.exc_info()[2].tb_frame
    print(frame.f_back, frame.f_code.co_name, frame.f_code.co_filename)
