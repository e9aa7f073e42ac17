"""Entry point of a fork server: `python fork_server.py SOCKET PADDING`.

It runs like a script, without interpreter options, because its interpreter later runs scripts.
PADDING reserves space for the command lines of forked processes.
"""

pristine = dict(globals())  # the initial globals of a script, except for this file's name


def main() -> None:
    """Serve until the service exits; in a job's process, raise `ScriptIsNext`."""
    import os
    import sys

    # The package is loaded from this file's path, because a built environment may contain another
    # version of Asgard, or none.
    root = os.path.abspath(f"{__file__}/../../..")
    package = type(sys)("asgard_async")
    package.__path__ = [root]
    sys.modules["asgard_async"] = package
    from asgard_async.supervisor.shim import fork_serving

    del sys.path[0]
    for folder in [path for path in sys.path_importer_cache if path.startswith(root)]:
        del sys.path_importer_cache[folder]
    pristine["__doc__"] = None
    for name in ("__file__", "__cached__"):
        pristine.pop(name, None)
    fork_serving.serve(int(sys.argv[1]), pristine)


main()
