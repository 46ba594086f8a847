"""Options that several commands share: each is a field of Settings, with its default and description.

To add one, write its option here and its line in GivenSettings; a command takes it as a parameter and passes it to make_settings.
"""

from pathlib import Path
from typing import Annotated, Any, Final, TypedDict, Unpack

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.base.addresses import HIGHEST_PORT, LOWEST_PORT, broker_addresses
from app.base.errors import UptakeError
from app.base.settings import Settings


def setting(field: str, help_text: str | None = None, default: object = None) -> Any:
    """Return the option of a setting. ``help_text`` and ``default`` replace those of Settings in the help of one command."""
    info = Settings.model_fields[field]
    shown = info.default if default is None else default
    return typer.Option(
        f"--{field.replace('_', '-')}",
        help=help_text or info.description,
        envvar=f"UPTAKE_{field.upper()}",
        show_default=False if shown is None else str(shown),
    )


Kafka = Annotated[str | None, setting("kafka")]
AppId = Annotated[str | None, setting("app_id")]
PartitionsOption = Annotated[int | None, setting("partitions")]
Replication = Annotated[int | None, setting("replication")]
DataDir = Annotated[Path | None, setting("data_dir")]
CustomersFile = Annotated[Path | None, setting("customers_file")]
Host = Annotated[str | None, setting("host")]
Advertise = Annotated[str | None, setting("advertise")]
FlushIntervalMs = Annotated[int | None, setting("flush_interval_ms")]
LogLevel = Annotated[str | None, setting("log_level", "debug, info, warning or error")]
LogJson = Annotated[
    bool | None,
    typer.Option(
        "--log-json", help="log JSON, one object a line", envvar="UPTAKE_LOG_JSON", show_default=False
    ),
]
AcceptBad = Annotated[
    bool | None,
    typer.Option(
        "--accept-bad",
        help="pause nothing: all records that cannot be folded go to the dead letters",
        envvar="UPTAKE_ACCEPT_BAD",
        show_default=False,
    ),
]
CustomerId = Annotated[str, typer.Option(help="id of the customer")]
Worker = Annotated[str, typer.Option(help="address of any worker")]
WORKER: Final = "http://127.0.0.1:6067"
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="the customer's key, for a worker off loopback", envvar="UPTAKE_API_KEY", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON to standard output, for programs")]


class GivenSettings(TypedDict, total=False):
    """The settings that a command line can give; None if it does not."""

    kafka: str | None
    app_id: str | None
    partitions: int | None
    replication: int | None
    data_dir: Path | None
    customers_file: Path | None
    host: str | None
    port: int | None
    advertise: str | None
    flush_interval_ms: int | None
    accept_bad: bool | None
    worker_urls: str | None
    collector_urls: str | None
    log_level: str | None
    log_json: bool | None


def make_settings(**given: Unpack[GivenSettings]) -> Settings:
    """Return the settings: a given value first, then the environment, then the default.

    Raise UptakeError if a value is not valid.
    """
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems = "; ".join(_sentence(problem) for problem in error.errors())
        raise UptakeError(f"a setting is not valid: {problems}") from None
    broker_addresses(settings.kafka)
    if settings.port is not None and settings.port < LOWEST_PORT:
        # In code, port 0 is any free port. A process on such a port would be found by none of its clients.
        raise UptakeError(
            f"a setting is not valid: port: use {LOWEST_PORT} to {HIGHEST_PORT} (it is {settings.port})"
        )
    return settings


def _sentence(problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # a relation, which names its settings and their values
        return message
    return f"{'.'.join(str(part) for part in problem['loc'])}: {message} (it is {problem['input']!r})"
