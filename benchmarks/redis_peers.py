"""Peers of `lookup` that answer from Redis: how each is started, what it can be asked, and what it lacks on this machine."""

import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.questions import KINDS
from benchmarks.redis_server import WordsProgram, missing_redis

FASTAPI_REDIS: Final = "fastapi_redis"
GO_REDIS: Final = "go_redis"
PEERS: Final[Mapping[str, Collection[str]]] = {
    FASTAPI_REDIS: KINDS,
    GO_REDIS: [kind for kind in KINDS if kind != "page"],
}
"""Peer -> the kinds of lookups that it answers."""
GO_HINT: Final = "this peer needs Go 1.26 or newer on the PATH"
_GO: Final = Path(__file__).with_name("peers") / GO_REDIS
_BUILD_SECONDS: Final = 600


class MissingPeerError(Exception):
    """A peer cannot run on this machine; the message says what it needs."""


def program_of(peer: str, directory: Path) -> WordsProgram:
    """Return the program of a peer, built in ``directory`` if needed; MissingPeerError if this machine lacks something."""
    missing = missing_redis()
    if missing is not None:
        raise MissingPeerError(missing)
    if peer == GO_REDIS:
        return WordsProgram((str(_build(directory / f"{peer}.program")),))
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise MissingPeerError("this peer needs FastAPI and Uvicorn: make bench installs them")
    return WordsProgram((sys.executable, "-m", f"benchmarks.peers.{peer}"))


def _build(program: Path) -> Path:
    go = shutil.which("go")
    if go is None:
        raise MissingPeerError(GO_HINT)
    try:
        built = subprocess.run(
            [go, "build", "-o", str(program), "."],
            cwd=_GO,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MissingPeerError(f"go build took longer than {_BUILD_SECONDS} s") from None
    if built.returncode != 0:
        lines = built.stderr.strip().splitlines() or ["it said nothing"]
        raise MissingPeerError(f"{GO_HINT}; go build failed: {lines[-1]}")
    return program
