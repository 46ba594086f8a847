"""Lookups in FastAPI from profiles in Redis: the same paths and answers as ours, in the form that takes least CPU.

Uvicorn runs on uvloop and httptools without an access log; msgspec reads bodies and writes answers. redis-py uses hiredis and a Unix
socket, and each request reads all that it needs in one pipeline. It has no keys, limits, metrics, sessions, moved users or pseudonyms.
"""

import argparse
import gc
import time
from typing import Annotated, Any, Final

import msgspec
import uvicorn
from fastapi import FastAPI, Path, Query, Request, Response
from redis.asyncio import Redis

from benchmarks.peers.redis_page import page_answer
from benchmarks.peers.redis_profile import (
    DEFAULT_REASONS,
    THRESHOLD,
    WITHIN_MS,
    excluded,
    exclusions_answer,
    filter_answer,
)

User = Annotated[str, Path(min_length=1, max_length=1_024)]
Customer = Annotated[str, Path(max_length=64)]
CONNECTIONS: Final = 1_024
"""More than requests wait at once: redis-py fails a request for which it has no connection."""


class FilterRequest(msgspec.Struct):
    """The body of a filter, for one user or for many."""

    candidates: list[str]
    users: list[str] = []
    itemtype: int = 1
    limit: int | None = None
    threshold: int = THRESHOLD
    exclude: tuple[str, ...] = DEFAULT_REASONS
    as_of_ms: int | None = None


def create_app(socket: str) -> FastAPI:
    app = FastAPI(openapi_url=None)
    redis = Redis(unix_socket_path=socket, decode_responses=True, max_connections=CONNECTIONS)
    encode = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(FilterRequest).decode

    def answer(value: Any) -> Response:
        return Response(encode(value), media_type="application/json")

    async def read(users: list[str], since_ms: int, as_of_ms: int) -> list[Any]:
        """Return the showings after ``since_ms`` and the facts of each user, alternately."""
        pipeline = redis.pipeline(transaction=False)
        for user in users:
            pipeline.execute_command("ZRANGEBYSCORE", f"s:{user}", f"({since_ms}", as_of_ms)
            pipeline.hgetall(f"h:{user}")
        return await pipeline.execute()

    @app.get("/v1/{customer}/users/{user}/exclusions")
    async def exclusions(
        customer: Customer,  # noqa: ARG001 - part of the path
        user: User,
        threshold: Annotated[int, Query(ge=1)] = THRESHOLD,
        reasons: Annotated[str | None, Query(max_length=256)] = None,
        as_of_ms: Annotated[int | None, Query(ge=0)] = None,
    ) -> Response:
        as_of_ms = time.time_ns() // 1_000_000 if as_of_ms is None else as_of_ms
        members, facts = await read([user], as_of_ms - WITHIN_MS, as_of_ms)
        chosen = DEFAULT_REASONS if reasons is None else tuple(reasons.split(","))
        found = excluded(members, facts, chosen, threshold, as_of_ms)
        return answer(exclusions_answer(found, is_known="." in facts, as_of_ms=as_of_ms))

    @app.post("/v1/{customer}/users/{user}/filter")
    async def filter_one(customer: Customer, user: User, request: Request) -> Response:  # noqa: ARG001
        asked = decode(await request.body())
        as_of_ms = time.time_ns() // 1_000_000 if asked.as_of_ms is None else asked.as_of_ms
        members, facts = await read([user], as_of_ms - WITHIN_MS, as_of_ms)
        found = excluded(members, facts, asked.exclude, asked.threshold, as_of_ms)
        kept, dropped = filter_answer(found, asked.candidates, asked.itemtype, asked.limit)
        return answer({"known": "." in facts, "as_of_ms": as_of_ms, "kept": kept, "dropped": dropped})

    @app.post("/v1/{customer}/filter")
    async def filter_many(customer: Customer, request: Request) -> Response:  # noqa: ARG001
        asked = decode(await request.body())
        as_of_ms = time.time_ns() // 1_000_000 if asked.as_of_ms is None else asked.as_of_ms
        replies = await read(asked.users, as_of_ms - WITHIN_MS, as_of_ms)
        results = []
        for number, user in enumerate(asked.users):
            members, facts = replies[2 * number], replies[2 * number + 1]
            found = excluded(members, facts, asked.exclude, asked.threshold, as_of_ms)
            kept, dropped = filter_answer(found, asked.candidates, asked.itemtype, asked.limit)
            results.append({"user": user, "known": "." in facts, "kept": kept, "dropped": dropped})
        return answer({"as_of_ms": as_of_ms, "results": results})

    @app.get("/v1/{customer}/users/{user}")
    async def page(
        customer: Customer,  # noqa: ARG001
        user: User,
        as_of_ms: Annotated[int | None, Query(ge=0)] = None,
    ) -> Response:
        as_of_ms = time.time_ns() // 1_000_000 if as_of_ms is None else as_of_ms
        pipeline = redis.pipeline(transaction=False)
        pipeline.execute_command("ZRANGEBYSCORE", f"s:{user}", "-inf", as_of_ms)
        for letter in "hcvp":
            pipeline.hgetall(f"{letter}:{user}")
        pipeline.lrange(f"r:{user}", 0, -1)
        return answer(page_answer(*await pipeline.execute(), as_of_ms))

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True, help="Unix socket of Redis")
    parser.add_argument("--port", type=int, required=True)
    told = parser.parse_args()
    app = create_app(told.socket)
    gc.freeze()
    gc.set_threshold(
        50_000, 100, 1_000
    )  # as our worker does; with Python's own, p99 under load is three times as long
    uvicorn.run(app, port=told.port, loop="uvloop", http="httptools", access_log=False)


if __name__ == "__main__":
    main()
