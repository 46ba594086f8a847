"""A command that is process 1 of a container ends at a SIGTERM of its first moments, before its imports are done."""

import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

# SIGTERM comes when the first large library is imported. If it is lost, the import of another one ends the process.
EARLY = """
import os, runpy, signal, sys

def on(event, arguments):
    if event == "import" and arguments[0] == "typer":
        os.kill(os.getpid(), signal.SIGTERM)
    if event == "import" and arguments[0] == "pydantic":
        os._exit(9)

sys.addaudithook(on)
sys.argv = ["uptake", *sys.argv[1:]]
runpy.run_module("app", run_name="__main__")
"""


@cache
def as_process_1() -> tuple[str, ...]:
    """Return the command that makes a program process 1 of a namespace of its own; none where that is not allowed."""
    command = ("unshare", "--pid", "--fork", "--kill-child")
    try:
        return (
            command
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
            else ()
        )
    except FileNotFoundError:
        return ()


@pytest.mark.parametrize(
    ("command", "status"),
    [("worker", 0), ("collector", 0), ("up", 0), ("kafka", 0), ("doctor", 128 + signal.SIGTERM)],
)
def test_early_sigterm_ends_a_command(command: str, status: int) -> None:
    done = subprocess.run(
        [*as_process_1(), sys.executable, "-c", EARLY, command], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (status, b"")


def test_handler_is_there_long_before_a_server_is(tmp_path: Path) -> None:
    """The installed command, with the signal from outside: it ends as soon as the kernel sees a handler."""
    uptake = Path(sys.executable).with_name("uptake")
    started = subprocess.Popen([*as_process_1(), str(uptake), "worker", "--data-dir", str(tmp_path)])
    try:
        pid = started.pid
        while as_process_1() and pid == started.pid:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(children[0]) if children else pid
        while not _catches_sigterm(pid):
            assert started.poll() is None
            time.sleep(0.001)
        os.kill(pid, signal.SIGTERM)
        assert started.wait(30) == 0
    finally:
        started.kill()
        started.wait()


def _catches_sigterm(pid: int) -> bool:
    (caught,) = (
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in line
    )
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
