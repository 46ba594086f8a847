"""`uptake up`: run Kafka, collector, workers and dashboard on this machine, with one log, until Ctrl-C."""

import asyncio
import time
from typing import Annotated

import typer

from app.base.logs import setup_logging
from app.base.settings import Settings
from app.commands import options
from app.commands.options import make_settings, setting
from app.local.kafka_jars import locate
from app.local.stack import FIRST_CUSTOMER, Plan, Stack, plan_ports, start_stack
from app.local.supervisor import LinePrinter, Supervisor


def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="worker processes; one per core")] = 1,
    kafka: Annotated[str | None, setting("kafka", "use this Kafka, host:port", "a local one")] = None,
    data_dir: options.DataDir = None,
    host: options.Host = None,
    port: Annotated[
        int | None, setting("port", "port of the collector", "8080, or the next free one")
    ] = None,
    customers_file: options.CustomersFile = None,
    partitions: options.PartitionsOption = None,
    log_level: options.LogLevel = None,
    log_json: options.LogJson = None,
) -> None:
    """Run Kafka, collector, workers and dashboard on this machine until Ctrl-C. Data stays in --data-dir.

    The first run fetches Apache Kafka (43 MB, with Maven) and writes a customers file with the customer 00000.

    Example: uptake up --workers 2 --data-dir .uptake
    """
    settings = make_settings(
        kafka=kafka,
        data_dir=data_dir,
        host=host,
        port=port,
        customers_file=customers_file,
        partitions=partitions,
        log_level=log_level,
        log_json=log_json,
    )
    setup_logging(settings)
    plan = plan_ports(settings, workers=workers, own_kafka=kafka is None, port=port)
    runtime = None if kafka is not None else locate(lambda line: typer.echo(line, err=True))
    started = time.monotonic()

    async def run() -> None:
        supervisor = Supervisor(LinePrinter(has_names=not settings.log_json))
        signalled = asyncio.create_task(supervisor.run_until_signal())
        starting = asyncio.create_task(start_stack(supervisor, settings, plan, runtime=runtime))
        try:
            await asyncio.wait([signalled, starting], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                typer.echo(_welcome(starting.result(), plan, settings, time.monotonic() - started))
                await signalled
        finally:
            starting.cancel()
            signalled.cancel()
            await asyncio.gather(starting, signalled, return_exceptions=True)
            typer.echo("stopping")
            await supervisor.stop()

    asyncio.run(run())
    typer.echo("stopped")


def _welcome(stack: Stack, plan: Plan, settings: Settings, seconds: float) -> str:
    user, item = "max", "1"
    where = f"{stack.data_dir} (data), {stack.customers_file} (customers and their keys)"
    note = "" if plan.collector_port == 8080 or settings.port else "   (8080 was taken)"
    return "\n".join(
        [
            "",
            f"Uptake is ready after {seconds:.1f} s. Ctrl-C stops everything.",
            f"  dashboard  {stack.dashboard}",
            f"  collector  {stack.collector}{note}",
            f"  lookups    {'  '.join(stack.workers)}",
            f"  Kafka      {stack.kafka}",
            f"  files      {where}",
            "",
            "Show an item to a user twice, then ask which items not to show again:",
            f"  curl -i '{stack.collector}/api/{FIRST_CUSTOMER}/rendered/{user}/1/{item}?scenario=landing_page'",
            f"  curl -i '{stack.collector}/api/{FIRST_CUSTOMER}/rendered/{user}/1/{item}?scenario=landing_page'",
            f"  curl '{stack.workers[0]}/v1/{FIRST_CUSTOMER}/users/{user}/exclusions'",
            "",
            "And the click-through rate:",
            f"  curl -i '{stack.collector}/api/{FIRST_CUSTOMER}/clickrecommended/{user}/1/{item}?scenario=landing_page'",
            f"  curl '{stack.workers[0]}/v1/{FIRST_CUSTOMER}/ctr?scenario=landing_page'",
            "",
        ]
    )
