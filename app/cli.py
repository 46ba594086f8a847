"""The command line: the list of commands, and how a foreseen error ends them.

Each command is a module of its own, imported only when the command is called: `uptake --help` stays fast.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import typer

from app.base.errors import EXIT_FORESEEN, UptakeError


@dataclass(frozen=True, slots=True)
class Command:
    """A command: ``function`` of ``module`` (a function or a group of commands), and its line in `uptake --help`."""

    name: str
    module: str
    function: str
    summary: str


COMMANDS: Final = (
    Command(
        "up",
        "app.commands.up",
        "up",
        "Run Kafka and all processes on this machine until Ctrl-C.",
    ),
    Command(
        "demo", "app.commands.demo", "demo", "Start everything, replay real events, show CTR and lookups."
    ),
    Command(
        "collector", "app.commands.collector", "collector", "Accept events over HTTP and write them to Kafka."
    ),
    Command("worker", "app.commands.worker", "worker", "Keep the tables of some users and answer lookups."),
    Command(
        "dashboard",
        "app.commands.dashboard",
        "dashboard",
        "Serve the page of click-through rates, visitors and health.",
    ),
    Command("ctr", "app.commands.ctr", "ctr", "Show click-through rates as they change."),
    Command("experiments", "app.commands.experiments", "experiments", "Show experiments and their verdicts."),
    Command("topics", "app.commands.topics", "topics", "Show the topics, and differences on the broker."),
    Command(
        "customers",
        "app.commands.customers",
        "customers",
        "Show and add customers, rotate keys.",
    ),
    Command("state", "app.commands.state", "state", "Check the state of a worker on disk for damage."),
    Command("kafka", "app.commands.kafka", "kafka", "Run only the local Kafka until Ctrl-C."),
    Command(
        "doctor",
        "app.commands.doctor",
        "doctor",
        "Check this machine and the broker, and print the remedies.",
    ),
    Command(
        "import",
        "app.commands.import_files",
        "import_files",
        "Import past events from files, and resume after a stop.",
    ),
    Command("replay", "app.commands.replay", "replay", "Send a file of events to a collector."),
    Command(
        "dlq",
        "app.commands.dlq",
        "dlq",
        "Show records that could not be folded, and send them again.",
    ),
)

_HELP: Final = """Uptake: what users did with what they were shown.

`uptake demo` shows it on real events; `uptake up` runs it.
`uptake COMMAND --help` explains a command.
Environment variables can set options: UPTAKE_DATA_DIR for --data-dir.
"""


def _create_cli(chosen: str | None) -> typer.Typer:
    """Return the command line, with only the ``chosen`` command's module loaded."""
    cli = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )

    @cli.callback()
    def uptake() -> None:
        pass  # with a callback, Typer always requires a command's name and shows _HELP

    for command in COMMANDS:
        if command.name == chosen:
            loaded = _load(command)
            if isinstance(loaded, typer.Typer):
                cli.add_typer(loaded, name=command.name)
            else:
                cli.command(command.name)(loaded)
        else:
            cli.command(command.name, help=command.summary)(_not_chosen)
    return cli


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 as a command says, 2 for wrong usage and foreseen errors, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    try:
        if chosen is not None and "--help" not in arguments:
            _refuse_unknown_variables()
        _create_cli(chosen)(args=arguments, prog_name="uptake")
    except UptakeError as error:
        print(f"uptake: {error}", file=sys.stderr)
        sys.exit(EXIT_FORESEEN)
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse_unknown_variables() -> None:
    from app.base.variables import refuse_unknown_variables  # late: it imports pydantic

    refuse_unknown_variables(os.environ)


def _not_chosen() -> None:
    raise AssertionError("only the chosen command is called")


def _load(command: Command) -> Callable[..., Any] | typer.Typer:
    loaded: Callable[..., Any] | typer.Typer = getattr(
        importlib.import_module(command.module), command.function
    )
    return loaded
