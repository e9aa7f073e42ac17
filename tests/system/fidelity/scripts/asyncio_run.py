import asyncio
import signal


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: print("signal"))
    signal.raise_signal(signal.SIGUSR1)
    await asyncio.sleep(0.05)
    process = await asyncio.create_subprocess_exec("echo", "child")
    print(await process.wait(), type(loop).__name__)
    print(await asyncio.to_thread(sum, range(10)))
    raise ValueError("from a coroutine")


asyncio.run(main())
