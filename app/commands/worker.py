"""`uptake worker`: keep the tables of some users and answer lookups."""

import logging
from typing import Annotated

from app.commands import options
from app.commands.options import make_settings, setting
from compiled.finder import core

log = logging.getLogger(__name__)


def worker(
    kafka: options.Kafka = None,
    app_id: options.AppId = None,
    partitions: options.PartitionsOption = None,
    host: options.Host = None,
    port: Annotated[int | None, setting("port", "port that answers lookups", 6067)] = None,
    advertise: options.Advertise = None,
    data_dir: options.DataDir = None,
    customers_file: options.CustomersFile = None,
    flush_interval_ms: options.FlushIntervalMs = None,
    accept_bad: options.AcceptBad = None,
    log_level: options.LogLevel = None,
    log_json: options.LogJson = None,
) -> None:
    """Keep the tables of some users and answer lookups.

    Start one worker for each core, each with its own --port and --data-dir.
    All workers with the same --app-id share the users.

    Example: uptake worker --kafka 127.0.0.1:9092 --port 6068 --data-dir .uptake/worker-1
    """
    settings = make_settings(
        kafka=kafka,
        app_id=app_id,
        partitions=partitions,
        host=host,
        port=port,
        advertise=advertise,
        data_dir=data_dir,
        customers_file=customers_file,
        flush_interval_ms=flush_interval_ms,
        accept_bad=accept_bad,
        log_level=log_level,
        log_json=log_json,
    )

    from app.base.logs import setup_logging
    from app.worker.wiring import run_worker

    setup_logging(settings)
    log.log(logging.INFO if core().modules else logging.WARNING, core().finding)
    run_worker(settings)
