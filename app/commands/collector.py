"""`uptake collector`: accept events over HTTP and write them to Kafka."""

from typing import Annotated

from app.commands import options
from app.commands.options import make_settings, setting


def collector(
    kafka: options.Kafka = None,
    partitions: options.PartitionsOption = None,
    host: options.Host = None,
    port: Annotated[int | None, setting("port", "port that accepts events", 8080)] = None,
    customers_file: options.CustomersFile = None,
    data_dir: options.DataDir = None,
    log_level: options.LogLevel = None,
    log_json: options.LogJson = None,
) -> None:
    """Accept events over HTTP and write them to Kafka.

    You can start many collectors behind a load balancer.
    While Kafka does not accept events, a collector keeps them on its disk.

    Example: uptake collector --kafka 127.0.0.1:9092 --customers-file uptake.toml
    """
    settings = make_settings(
        kafka=kafka,
        partitions=partitions,
        host=host,
        port=port,
        customers_file=customers_file,
        data_dir=data_dir,
        log_level=log_level,
        log_json=log_json,
    )

    from app.base.logs import setup_logging
    from app.collector.server import run_collector

    setup_logging(settings)
    run_collector(settings)
