"""The command line of a process, as others see it (proc(5), cmdline)."""

import ctypes

ARG_START, ARG_END = 45, 46  # fields of /proc/self/stat, counted from the state


def show_command_line(arguments: "list[str]") -> None:
    """Show `arguments` instead of what this process was started with, as far as there is room.

    Keepers are looked for by their command line; a person who looks for a job finds its script.
    """
    with open("/proc/self/stat", "rb") as file:
        stat = file.read()
    # the second field, a name in parentheses, may itself hold spaces and parentheses
    fields = stat[stat.rindex(b")") + 2 :].split()
    start, end = int(fields[ARG_START]), int(fields[ARG_END])
    text = b"".join(argument.encode(errors="surrogateescape") + b"\0" for argument in arguments)
    # the last byte stays 0: any other would tell the kernel to read on in the environment
    room = end - start - 1
    ctypes.memmove(start, text[:room].ljust(room, b"\0"), room)
