"""Entry of a fork server: `python fork_server.py SOCKET PADDING`.

Run as a script is, without options, since its interpreter becomes that of scripts. PADDING makes
room for the command lines of what is forked.
"""

pristine = dict(globals())  # as a script finds them, but for the names of this file


def main() -> None:
    """Serve until the service ends; in a job's process, leave by `ScriptIsNext`."""
    import os
    import sys

    # The package is found by this file's path and under its own name: a built environment has no
    # Asgard, or another version of it.
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
