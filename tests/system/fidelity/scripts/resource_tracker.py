import time
from multiprocessing import resource_tracker, shared_memory
from multiprocessing.managers import SharedMemoryManager

with SharedMemoryManager() as manager:
    manager.SharedMemory(16)
memory = shared_memory.SharedMemory("asgard_fidelity_leak", create=True, size=16)
memory.close()
print("leaked")
# waits until it has cleaned up and said so
resource_tracker._resource_tracker._stop()
