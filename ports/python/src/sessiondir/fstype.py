"""On what kind of file system a directory is (DIR-5, SPEC section 17).

Python has no fstatfs. On Linux the C library's is called through ctypes; where ctypes is missing,
/proc/self/mountinfo is searched for the directory's device. On other systems nothing is known, and nothing refused.
"""

from __future__ import annotations

import os
import sys
from typing import Optional

_TYPES = {
    0x6969: "NFS", 0x517B: "SMB", 0xFE534D42: "SMB2", 0xFF534D42: "CIFS", 0x01021997: "9p", 0x65735546: "FUSE",
    0x5346414F: "AFS", 0x6B414653: "AFS", 0x00C36400: "Ceph", 0x0BD00BD0: "Lustre", 0x01161970: "GFS2",
    0x7461636F: "OCFS2", 0x73757245: "Coda",
}
_NAMES = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "ceph", "lustre", "gfs2", "ocfs2", "coda")


def remote(descriptor: int) -> Optional[str]:
    """The name of a file system that the format does not work on, or None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        # struct statfs begins with f_type, one machine word; 512 bytes are more than it has on any machine.
        buffer = ctypes.create_string_buffer(512)
        if ctypes.CDLL(None, use_errno=True).fstatfs(descriptor, buffer) == 0:
            word = ctypes.c_uint.from_buffer(buffer) if _is_s390() else ctypes.c_ulong.from_buffer(buffer)
            return _TYPES.get(word.value & 0xFFFFFFFF)
    except (ImportError, OSError, AttributeError):
        pass
    return _by_mountinfo(os.fstat(descriptor).st_dev)


def _is_s390() -> bool:
    return os.uname().machine.startswith("s390")


def _by_mountinfo(device: int) -> Optional[str]:
    wanted = "%d:%d" % (os.major(device), os.minor(device))
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                fields = left.split()
                if len(fields) > 2 and fields[2] == wanted:
                    kind = right.split()[0] if right.split() else ""
                    if kind in _NAMES or kind == "fuse" or kind.startswith("fuse."):
                        return kind
    except OSError:
        pass
    return None
