"""Runs redis-server as a contestant's process, and writes profiles into it."""

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.checkouts import ROOT, THIS
from benchmarks.peers.redis_profile import RedisProfile
from benchmarks.processes import Contestant, Words

HINT: Final = "this peer needs redis-server, an open data store: apt install redis-server (Debian, Ubuntu)"
REDIS_READY: Final[Words] = ("ready to accept connections", "Ready to accept connections")
_USERS_OF_PIPELINE: Final = 500


@dataclass(frozen=True)
class WordsProgram:
    """A program by the first words of its command line (benchmarks/processes.py: Program)."""

    words: tuple[str, ...]
    root: Path = ROOT

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line."""
        return [*self.words, *arguments]

    def environ(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a Python process of this checkout, with ``env`` in it."""
        return THIS.environ(env)


def missing_redis() -> str | None:
    """Return how to get redis-server and its client if they are not installed, else None."""
    if shutil.which("redis-server") is None:
        return HINT
    return None if find_spec("redis") is not None else "this peer needs redis-py: make bench installs it"


def start_redis(directory: Path) -> tuple[Contestant, Path]:
    """Start a Redis that keeps all in memory and listens on a Unix socket only; return it and the socket."""
    socket = directory / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    server = Contestant("redis", arguments, directory, {}, WordsProgram(("redis-server",)))
    return server, socket


def load_profiles(socket: Path, histories: Iterable[tuple[str, list[Any]]]) -> float:
    """Fold the events of each user and write its profile; return the seconds that it took."""
    from redis import Redis

    started, redis = time.monotonic(), Redis(unix_socket_path=str(socket))
    pipeline, waiting = redis.pipeline(transaction=False), 0
    for user, events in histories:
        profile = RedisProfile(user)
        for event in events:
            profile.add(event)
        for command in profile.commands():
            pipeline.execute_command(*command)
        waiting += 1
        if waiting == _USERS_OF_PIPELINE:
            pipeline.execute()
            waiting = 0
    pipeline.execute()
    redis.close()
    return time.monotonic() - started
