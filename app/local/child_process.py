"""How a child process is started so that it never outlives its owner, not even one killed with -9.

On Linux the child asks the kernel to be killed when the thread that started it ends (PR_SET_PDEATHSIG). It does so itself, in a
small Python that then becomes the real program with the same pid: ``preexec_fn`` would run Python between fork and exec, which
may deadlock beside other threads. Elsewhere than on Linux a killed owner leaves its children; an orderly end does not.
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
    """Return the command line that starts ``argv`` tied to the life of the calling process."""
    if sys.platform != "linux":
        return list(argv)
    # -I -S: neither site-packages nor the environment can change the start; it takes 20 ms.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def require_main_thread() -> None:
    """Raise RuntimeError outside the main thread: the kernel would kill the child as soon as that thread ends."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "children are started from the main thread, they die with the thread that started them"
        )


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``argv`` in a process group of its own (a Ctrl-C on the terminal reaches the owner only), stderr with stdout."""
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
    if os.getppid() != owner:  # the owner died before the request was made
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"cannot start {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
