"""Options of the command line: each is a setting, and each reaches the process that it is given to."""

import importlib
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from app import cli
from app.base.settings import Settings
from app.commands.collector import collector
from app.commands.options import GivenSettings
from app.commands.worker import worker

GIVEN: dict[str, Any] = {
    "kafka": "broker:1",
    "app_id": "other",
    "partitions": 3,
    "host": "192.0.2.1",
    "port": 4,
    "advertise": "http://192.0.2.2:5",
    "data_dir": Path("elsewhere"),
    "customers_file": Path("ours.toml"),
    "flush_interval_ms": 66,
    "accept_bad": True,
    "log_level": "error",
    "log_json": True,
}


def _with_port() -> list[str]:
    """Return the commands that have an option --port."""
    functions = [
        (command.name, getattr(importlib.import_module(command.module), command.function))
        for command in cli.COMMANDS
    ]
    return [
        name
        for name, function in functions
        if not isinstance(function, typer.Typer) and "port" in inspect.signature(function).parameters
    ]


def test_commands_with_a_port_are_known() -> None:
    assert set(_with_port()) == {"up", "demo", "collector", "worker", "dashboard", "kafka"}


@pytest.mark.parametrize("command", _with_port())
@pytest.mark.parametrize("port", ["-1", "0", "65536", "70000", "x"])
def test_port_that_is_none_is_refused_by_every_command(
    command: str, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--port", port])
    assert ended.value.code == 2
    assert "port" in capsys.readouterr().err


@pytest.mark.parametrize("name", get_type_hints(GivenSettings))
def test_what_can_be_given_is_a_setting_or_nothing(name: str) -> None:
    field = Settings.model_fields[name]
    assert get_type_hints(GivenSettings)[name] == field.annotation | None


@pytest.mark.parametrize(
    ("command", "run"),
    [(collector, "app.collector.server.run_collector"), (worker, "app.worker.wiring.run_worker")],
)
def test_every_option_of_a_process_reaches_it(
    command: Any, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Settings] = []
    monkeypatch.setattr(run, started.append)
    monkeypatch.setattr("app.base.logs.setup_logging", lambda _: None)
    names = list(inspect.signature(command).parameters)
    arguments = [command.__name__]
    for name in names:
        arguments.append(f"--{name.replace('_', '-')}")
        if GIVEN[name] is not True:
            arguments.append(str(GIVEN[name]))
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 0
    (settings,) = started
    assert {name: getattr(settings, name) for name in names} == {name: GIVEN[name] for name in names}
    defaults = Settings()
    assert all(GIVEN[name] != getattr(defaults, name) for name in names)
