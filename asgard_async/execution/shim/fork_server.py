"""Entry of a fork server: `python fork_server.py SOCKET PADDING`.

Run as a script is, without options, since its interpreter becomes that of scripts. PADDING makes
room for the command lines of what is forked.
"""

pristine = dict(globals())  # as a script finds them, but for the names of this file


def main() -> None:
    """Serve until the service ends; in a job's process, leave by `ScriptIsNext`."""
    import os
    import sys

    own = sys.path[0]
    sys.path[0] = os.path.dirname(own)
    # by path, not as asgard_async.…: in a built environment Asgard is not installed
    from shim import forking  # type: ignore[import-not-found]

    del sys.path[0]
    for folder in (own, os.path.dirname(own)):
        sys.path_importer_cache.pop(folder, None)
    pristine["__doc__"] = None
    for name in ("__file__", "__cached__"):
        pristine.pop(name, None)
    forking.serve(int(sys.argv[1]), pristine)


main()
