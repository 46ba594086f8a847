"""Kinds of lookups that `lookup` measures: what is asked, of which users, by wrk, by an open loop, and to compare answers."""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.replay.http import Answer, NoAnswerError, NoConnectionError
from benchmarks.clients import Pool, paced
from benchmarks.open_loop import Answers
from benchmarks.traffic import CUSTOMER
from benchmarks.wrk import TAIL_SECONDS, Running, start_wrk

CANDIDATES: Final = 200
MANY_USERS, MANY_CANDIDATES = 100, 50
KNOWN_SHOWINGS: Final = 16
"""We know so many showings of an item one by one, so a limited span counts no more. Compared counts saturate here."""
_SCRIPT: Final = Path(__file__).with_name("lookups.lua")
_BODIES: Final = 500
_ITEMS: Final = 1_000
"""Candidates are drawn from the items that are shown most."""


@dataclass(frozen=True)
class Question:
    """One kind of lookup of ``users`` users, from ``u0``. ``target`` has ``%d`` for the number of a user; each request takes a body."""

    name: str
    target: str
    users: int
    bodies: tuple[bytes, ...] = ()
    most_connections: int = 1_000
    """A request that takes long is sent over few connections, so that the last answers come soon after the last request."""

    @property
    def method(self) -> str:
        return "POST" if self.bodies else "GET"

    def start(self, port: int, directory: Path, connections: int, seconds: float, seed: int) -> Running:
        """Let wrk ask a server of this machine without a pause."""
        file = "-"
        if self.bodies:
            path = directory / f"{self.name}.bodies"
            path.write_bytes(b"\n".join(self.bodies) + b"\n")
            file = str(path)
        script = [self.method, self.target, seconds, self.users, seed, file]
        return start_wrk(
            _SCRIPT, port, min(connections, self.most_connections), seconds + TAIL_SECONDS, script
        )

    async def ask(self, pool: Pool, draw: random.Random, user: int | None = None) -> Answer:
        """Ask once, about a user or about any."""
        number = draw.randrange(self.users) if user is None else user
        target = self.target % number if "%d" in self.target else self.target
        if not self.bodies:
            return await pool.get(target)
        return await pool.post(target, draw.choice(self.bodies))

    async def ask_steadily(self, port: int, rate: float, seconds: float, seed: int) -> Answers:
        """Send ``rate`` requests per second for ``seconds``, each when it is due; return when all are answered."""
        draw, pool, answers = random.Random(seed), Pool(port), Answers()
        ends = time.monotonic() + seconds

        async def ask(due: float) -> None:
            try:
                answer = await self.ask(pool, draw)
            except (NoAnswerError, NoConnectionError):
                answers.failed += 1
                return
            answers.milliseconds.append((time.monotonic() - due) * 1000)
            answers.failed += answer.status != 200

        await paced(rate, lambda: time.monotonic() > ends, ask)
        pool.close()
        return answers

    async def sample(self, port: int, count: int) -> list[Any]:
        """Return the parsed answers about the same ``count`` users each time; an answer other than 200 is its status."""
        pool, draw, found = Pool(port), random.Random(1), list[Any]()
        step = max(1, self.users // count)
        for number in range(0, min(self.users, count * step), step):
            answer = await self.ask(pool, draw, number)
            found.append(json.loads(answer.body) if answer.status == 200 else answer.status)
        pool.close()
        return found


def questions(users: int, warm_users: int, as_of_ms: int, seed: int) -> dict[str, Question]:
    """Return the kinds of lookups by name. Those that end in ``_warm`` ask about few users again and again."""
    draw = random.Random(seed)

    def candidates(count: int) -> dict[str, Any]:
        items = draw.sample(range(1, _ITEMS + 1), count)
        return {"candidates": [str(item) for item in items], "as_of_ms": as_of_ms}

    of_user = f"/v1/{CUSTOMER}/users/u%d"
    exclusions = f"{of_user}/exclusions?as_of_ms={as_of_ms}"
    one = tuple(_json(candidates(CANDIDATES)) for _ in range(_BODIES))
    many = tuple(
        _json(
            {
                "users": [f"u{draw.randrange(users)}" for _ in range(MANY_USERS)],
                **candidates(MANY_CANDIDATES),
            }
        )
        for _ in range(_BODIES)
    )
    kinds = (
        Question("exclusions", exclusions, users),
        Question("exclusions_warm", exclusions, warm_users),
        Question("filter", f"{of_user}/filter", users, one),
        Question("filter_warm", f"{of_user}/filter", warm_users, one),
        Question("page", f"{of_user}?as_of_ms={as_of_ms}", users),
        Question("many", f"/v1/{CUSTOMER}/filter", users, many, most_connections=4),
    )
    return {kind.name: kind for kind in kinds}


KINDS: Final = ("exclusions", "exclusions_warm", "filter", "filter_warm", "page", "many")


def comparable(answer: Any) -> Any:
    """Return an answer with the counts of showings as far as every contestant knows them, and without fields that only new ones have."""
    if not isinstance(answer, Mapping):
        return answer
    if "results" in answer:
        return [(each["user"], comparable(each)) for each in answer["results"]]
    if "totals" in answer:
        return {name: value for name, value in answer.items() if name in _PAGE}
    entries = answer["excluded"] if "excluded" in answer else answer["dropped"]
    compared = [
        (
            each["item"],
            each.get("itemtype"),
            each["reasons"],
            min(each["count"], KNOWN_SHOWINGS) if each["reasons"][0] == "rendered" else each["count"],
            each["last_ms"],
        )
        for each in entries
    ]
    return answer["known"], compared, answer.get("kept")


_PAGE: Final = (
    "known",
    "session_start_ms",
    "totals",
    "rendered",
    "clicked",
    "consumed",
    "basket",
    "purchases",
    "preferences",
    "recommended",
    "identity",
)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
