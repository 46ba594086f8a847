"""`uptake dashboard`: serve the page of click-through rates, visitors and health."""

from typing import Annotated

import typer

from app.commands import options
from app.commands.options import make_settings, setting


def dashboard(
    host: options.Host = None,
    port: Annotated[int | None, setting("port", "port of the page", 7070)] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            help="address of a worker, http://host:port; give each (UPTAKE_WORKER_URLS)",
            show_default="http://127.0.0.1:6067",
        ),
    ] = None,
    collector: Annotated[
        list[str] | None,
        typer.Option(
            "--collector",
            help="address of a collector, http://host:port; give each (UPTAKE_COLLECTOR_URLS)",
            show_default="http://127.0.0.1:8080",
        ),
    ] = None,
    customers_file: options.CustomersFile = None,
    log_level: options.LogLevel = None,
    log_json: options.LogJson = None,
) -> None:
    """Serve the page of click-through rates, visitors and health.

    It asks workers and collectors over HTTP, and needs no Kafka.
    Off loopback, readers log in with a customer's API key.

    Example: uptake dashboard --worker http://127.0.0.1:6067 --worker http://127.0.0.1:6068
    """
    settings = make_settings(
        host=host,
        port=port,
        worker_urls=",".join(worker) if worker else None,
        collector_urls=",".join(collector) if collector else None,
        customers_file=customers_file,
        log_level=log_level,
        log_json=log_json,
    )

    from app.base.logs import setup_logging
    from app.dashboard.process import run_dashboard

    setup_logging(settings)
    run_dashboard(settings)
