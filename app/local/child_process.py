"""Starts child processes that never outlive their owner, even if the owner is killed with -9.

On Linux the child asks the kernel to kill it when the thread that started it ends (PR_SET_PDEATHSIG). A small Python program asks, and
then becomes the real program with the same pid. The alternative ``preexec_fn`` runs Python between fork and exec, which may deadlock if
the owner has other threads. On other systems, an owner that is killed leaves its children running; one that stops in order does not.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


def _guarded(argv: Sequence[str]) -> list[str]:
    """Return the command line that starts ``argv`` as a child that dies with the calling process."""
    if sys.platform != "linux":
        return list(argv)
    # -I -S: neither site-packages nor the environment can affect this start, which takes 20 ms.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def require_main_thread() -> None:
    """Raise RuntimeError outside the main thread: the kernel would kill the child as soon as that thread ends."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "start child processes from the main thread: they die with the thread that started them"
        )


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``argv`` with stderr joined to stdout, in a process group of its own: Ctrl-C on the terminal reaches only the owner."""
    require_main_thread()
    return subprocess.Popen(
        _guarded(argv),
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _become(owner: int, argv: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != owner:  # the owner died before prctl was called
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"cannot start {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
