"""Measures response times with an open loop: each request is sent when it is due, whether or not earlier ones are answered.

wrk sends the next request of a connection only after the answer to the previous one. So it sends less to a slow server, and does not
measure how long requests wait.
"""

import random
import time
from dataclasses import dataclass, field

from app.replay.http import NoAnswerError, NoConnectionError
from benchmarks.clients import Pool, paced

ITEMS, LISTED = 5_000, 4
SCENARIOS = ("home", "also_bought", "category", "search")


@dataclass
class Answers:
    """Times from when a request was due until its answer, and the number of requests without an answer or with one other than 2xx."""

    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0


async def open_loop(port: int, customer: str, rate: float, seconds: float, users: int, seed: int) -> Answers:
    """Send ``rate`` `rendered` events per second for ``seconds``; return when all are answered."""
    draw, pool, answers = random.Random(seed), Pool(port), Answers()
    ends = time.monotonic() + seconds

    async def ask(due: float) -> None:
        items = ",".join([str(draw.randint(1, ITEMS)) for _ in range(LISTED)])
        target = (
            f"/api/{customer}/rendered/u{draw.randint(1, users)}/1/{items}?scenario={draw.choice(SCENARIOS)}"
        )
        try:
            answer = await pool.get(target)
        except (NoAnswerError, NoConnectionError):
            answers.failed += 1
            return
        answers.milliseconds.append((time.monotonic() - due) * 1000)
        answers.failed += not 200 <= answer.status < 300

    await paced(rate, lambda: time.monotonic() > ends, ask)
    pool.close()
    return answers
