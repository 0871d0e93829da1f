"""A seccomp filter as bytes, for `bwrap --seccomp`: system calls that no tested program needs.

The namespaces and dropped capabilities of the sandbox already refuse what most of these do; the filter takes
them away as kernel surface, and with them shared memory that no limit counts.
"""

import platform
import struct
from functools import lru_cache

_LOAD, _JUMP_EQ, _JUMP_GE, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_X32_BIT = 0x40000000

# Audit architecture and numbers, from linux/audit.h and the kernel's system call tables.
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    "x86_64": {
        29, 30, 31, 64, 65, 66, 68, 69, 70, 71,  # System V shared memory, semaphores, messages
        101, 310, 311, 312, 438,  # ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_getfd
        135, 155, 161, 163, 165, 166, 167, 168, 169,  # personality, roots, acct, mounts, swap, reboot
        175, 176, 179, 246, 250, 248, 249, 313, 320,  # modules, quotactl, kexec, keys
        272, 308, 298, 321, 323,  # unshare, setns, perf_event_open, bpf, userfaultfd
        425, 426, 427, 428, 429, 430, 431, 432, 433, 442,  # io_uring and the new mount calls
    },
    "aarch64": {
        186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197,
        117, 270, 271, 272, 438,
        92, 41, 51, 89, 40, 39, 224, 225, 142,
        105, 106, 60, 104, 217, 218, 219, 273, 294,
        97, 268, 241, 280, 282,
        425, 426, 427, 428, 429, 430, 431, 432, 433, 442,
    },
}  # fmt: skip
_CLONE3 = 435


@lru_cache(maxsize=1)
def seccomp_filter() -> bytes | None:
    """The filter for this machine's architecture; None where its call numbers are not known here."""
    machine = platform.machine()
    if machine not in _ARCH:
        return None
    denied = sorted(_DENIED[machine])
    # seccomp_data: the call's number at offset 0, the architecture at 4.
    program = [(_LOAD, 0, 0, 4), (_JUMP_EQ, 1, 0, _ARCH[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if machine == "x86_64":
        program += [(_JUMP_GE, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    # clone3 hides its flags behind a pointer; "not there" sends the C library back to clone.
    program += [(_JUMP_EQ, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    for number in denied:
        program += [(_JUMP_EQ, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
