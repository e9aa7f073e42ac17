"""Waiting for a terminal or a pipe without blocking, so that signals are heard meanwhile."""

import asyncio


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or its end."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(descriptor, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    """Wait until something can be written."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_writer(descriptor, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_writer(descriptor)
