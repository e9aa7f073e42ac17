import gc
import sys
import threading

print(sys.argv, sys.orig_argv, sys.executable, sys.prefix, sys.base_prefix)
print(sys.path)
print(sys.flags, sys._xoptions, sys.warnoptions, sys.dont_write_bytecode, sys.pycache_prefix)
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits())
print(sys.gettrace(), sys.getprofile(), sys.implementation.name, sys.getdefaultencoding())
print(len(sys.path_hooks))
print(gc.isenabled(), gc.get_threshold(), gc.get_debug())
main = threading.main_thread()
print(main.name, main.daemon, main is threading.current_thread(), main.ident == threading.get_ident())
print(threading.active_count(), threading.stack_size())
print([name for name in sys.modules if name.split(".")[0] in ("shim", "fork_server")])
