"""`uptake kafka`: run only the local Kafka, in the foreground."""

import asyncio
from typing import Annotated

import typer

from app.base.addresses import HIGHEST_PORT, LOWEST_PORT
from app.base.logs import setup_logging
from app.commands import options
from app.commands.options import make_settings
from app.kafka.topics import ensure_topics
from app.local.broker import HOST, LocalBroker
from app.local.kafka_jars import kafka_version, locate
from app.local.supervisor import Supervisor
from app.local.tcp_ports import first_free


def kafka(
    data_dir: options.DataDir = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="port of the broker",
            min=LOWEST_PORT,
            max=HIGHEST_PORT,
            show_default="9092, or the next free one",
        ),
    ] = None,
    partitions: options.PartitionsOption = None,
    topics: Annotated[bool, typer.Option(help="create the topics that are missing")] = True,
    fetch: Annotated[bool, typer.Option("--fetch", help="only download what Kafka needs, then exit")] = False,
    log_level: options.LogLevel = None,
) -> None:
    """Run only the local Kafka until Ctrl-C. Its data stays in --data-dir.

    Run `uptake collector` and `uptake worker` in other terminals.

    Example: uptake kafka --port 9092
    """
    settings = make_settings(data_dir=data_dir, partitions=partitions, log_level=log_level)
    setup_logging(settings)
    runtime = locate(lambda line: typer.echo(line, err=True))
    if fetch:
        typer.echo(f"Kafka {kafka_version()} in {runtime.lib}, Java in {runtime.java}")
        return
    broker = LocalBroker(settings.data_dir / "kafka", port=port or first_free(HOST, 9092), runtime=runtime)
    settings = settings.model_copy(update={"kafka": broker.bootstrap})

    async def run() -> None:
        supervisor = Supervisor()
        supervisor.add_broker(broker)
        try:
            await supervisor.start()
            await supervisor.wait_ready()
            if topics:
                await ensure_topics(settings)
            typer.echo(
                f"Kafka {kafka_version()} listens on {broker.bootstrap}; its log is {broker.log_path}; Ctrl-C stops it"
            )
            await supervisor.run_until_signal()
        finally:
            await supervisor.stop()

    asyncio.run(run())
