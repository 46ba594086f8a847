"""A collector of `rendered` events in FastAPI: typed parameters, a model, aiokafka's producer in the lifespan, 204 when Kafka has it.

It follows the documentation of both, in the form that takes least CPU. Uvicorn runs on uvloop and httptools without an access log, and
pydantic encodes the JSON. Acknowledgement, idempotence and linger are the same as ours. It has no limits beyond uvicorn's, no pseudonyms
and no metrics.
"""

import argparse
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Path, Query, Response
from pydantic import BaseModel

ITEMS = r"^[0-9]+(,[0-9]+)*$"


class Rendered(BaseModel):
    """The record of an event."""

    type: str = "rendered"
    customer: str
    user: str
    itemtype: int
    items: list[str]
    scenario: str | None
    time_ms: int


def create_app(kafka: str, topic: str, linger_ms: int) -> FastAPI:
    producers: list[AIOKafkaProducer] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka, acks="all", enable_idempotence=True, linger_ms=linger_ms
        )
        await producer.start()
        producers.append(producer)
        try:
            yield
        finally:
            await producer.stop()

    app = FastAPI(lifespan=lifespan)

    @app.get("/api/{customer}/rendered/{user}/{itemtype}/{items}", status_code=204)
    async def rendered(
        customer: Annotated[str, Path(max_length=64)],
        user: Annotated[str, Path(min_length=1, max_length=1_024)],
        itemtype: Annotated[int, Path(ge=1, le=5)],
        items: Annotated[str, Path(pattern=ITEMS)],
        scenario: Annotated[str | None, Query(max_length=256)] = None,
    ) -> Response:
        event = Rendered(
            customer=customer,
            user=user,
            itemtype=itemtype,
            items=items.split(","),
            scenario=scenario,
            time_ms=time.time_ns() // 1_000_000,
        )
        await producers[0].send_and_wait(
            topic, event.model_dump_json(exclude_none=True).encode(), key=f"{customer}|{user}".encode()
        )
        return Response(status_code=204)

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--linger-ms", type=int, required=True)
    told = parser.parse_args()
    uvicorn.run(
        create_app(told.kafka, told.topic, told.linger_ms),
        port=told.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
    )


if __name__ == "__main__":
    main()
