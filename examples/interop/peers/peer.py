"""The Python side of the example: interlock.h as a shared object, by ctypes."""
import ctypes
import errno
import os
import signal
import struct
import sys
from multiprocessing import resource_tracker, shared_memory

HEADER = 2048  # what shm.Share puts before the struct
EACH, ENOUGH = 100_000, 1_000_000


class Shared(ctypes.Structure):  # what the Go program calls Shared
    _fields_ = [
        ("mu", ctypes.c_byte * 40),
        ("changed", ctypes.c_byte * 16),
        ("count", ctypes.c_uint64),
        ("price", ctypes.c_byte * 80),
        ("go_turn", ctypes.c_byte * 32),
        ("peer_turn", ctypes.c_byte * 32),
    ]


def attach(name):
    """Opens what somebody else made, and leaves it there.

    Up to Python 3.12 SharedMemory also tells the resource tracker of what it only
    opened, and the tracker *removes* it when this process ends, under all others.
    """
    if sys.version_info >= (3, 13):
        return shared_memory.SharedMemory(name, track=False)
    seg = shared_memory.SharedMemory(name)
    resource_tracker.unregister(seg._name, "shared_memory")
    return seg


def check(err):
    if err == errno.EOWNERDEAD:  # one number cannot be half changed
        err = lib.mutex_repaired(at("mu"))
    if err:
        raise OSError(err, os.strerror(err))


def at(field):
    return ctypes.c_void_p(ctypes.addressof(s) + getattr(Shared, field).offset)


lib = ctypes.CDLL("./interlock.so")
libc = ctypes.CDLL(None)
seg = attach(sys.argv[1].lstrip("/"))
# The least that must be compared: magic, version, state, size of the struct.
magic, version, state, size = struct.unpack_from("8sII8xQ", seg.buf)
if (magic, version, state, size) != (b"ILOCKSHM", 2, 1, ctypes.sizeof(Shared)):
    sys.exit(f"python: another segment: {magic} {version} {state} {size}")
s = Shared.from_buffer(seg.buf, HEADER)

for _ in range(EACH):
    check(lib.mutex_lock(at("mu"), ctypes.c_long(-1)))
    s.count += 1
    check(lib.mutex_unlock(at("mu")))
price = (ctypes.c_uint64 * 2)(7, 1234)
check(lib.seqlock_store(at("price"), price, ctypes.c_size_t(16), ctypes.c_long(-1)))

check(lib.mutex_lock(at("mu"), ctypes.c_long(-1)))
libc.sem_post(at("go_turn"))
while s.count != ENOUGH:
    check(lib.cond_wait(at("changed"), at("mu"), ctypes.c_long(-1)))
print(f"python: Go has set the count to {s.count}; now I die with the mutex", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
