"""The command line: the commands it lists, how it loads them, and how they fail."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from app import cli
from app.base.errors import UptakeError
from app.base.settings import Settings
from app.commands.options import make_settings
from app.local.stack import settings_env


def exit_status(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--help") == 0
    shown = capsys.readouterr().out
    assert all(
        command.name in shown and command.summary in " ".join(shown.split()) for command in cli.COMMANDS
    )


def test_help_imports_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom app.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'faust', 'aiokafka', 'aiohttp', 'pydantic', 'rocksdict', 'structlog'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_an_example(
    command: cli.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert importlib.util.find_spec(command.module), f"{command.module} is missing"
    assert exit_status(command.name, "--help") == 0
    assert f"uptake {command.name}" in capsys.readouterr().out


def test_unknown_command_is_wrong_usage() -> None:
    assert exit_status("nonsense") == 2


def test_foreseen_error_is_one_message_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPTAKE_SESSION_TIMEOUT_MS", "5")
    assert exit_status("topics") == 2
    error = capsys.readouterr().err
    assert error.startswith("uptake: a setting is not valid: session_timeout_ms")
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("UPTAKE_PARTITION", "16", "did you mean UPTAKE_PARTITIONS?"),
        ("UPTAKE_PORT", "tcp://10.0.0.1:8080", "set by Kubernetes"),
        ("UPTAKE_PORT", "70000", "port: Input should be less than or equal to 65535 (it is 70000)"),
        ("UPTAKE_PORT", "0", "port: use 1 to 65535 (it is 0)"),
        ("UPTAKE_HOST", "127.0.0.1:80", "host: use an IP address or a host name"),
        ("UPTAKE_KAFKA", "127.0.0.1:70000", "is not host:port"),
        ("UPTAKE_KAFKA", ",", "names no broker"),
        ("UPTAKE_HEARTBEAT_MS", "20000", "use at most 3333"),
    ],
)
@pytest.mark.parametrize("command", ["worker", "collector"])
def test_setting_that_would_mean_something_else_ends_a_process_with_a_sentence(
    command: str,
    name: str,
    value: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.collector.server.run_collector", lambda _: None)
    monkeypatch.setattr("app.worker.wiring.run_worker", lambda _: None)
    monkeypatch.setenv(name, value)
    assert exit_status(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("uptake: ")
    assert says in error
    assert error.count("\n") == 1


def test_help_is_shown_whatever_the_environment_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPTAKE_PARTITION", "16")
    assert exit_status("topics", "--help") == 0


def test_setting_comes_from_the_option_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UPTAKE_PARTITIONS", raising=False)
    assert make_settings(partitions=None).partitions == Settings.model_fields["partitions"].default
    monkeypatch.setenv("UPTAKE_PARTITIONS", "4")
    assert make_settings(partitions=None).partitions == 4
    assert make_settings(partitions=2).partitions == 2
    with pytest.raises(UptakeError, match="partitions"):
        make_settings(partitions=0)


def test_child_gets_the_very_settings_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPTAKE_PORT", "1")  # the parent's port must not reach the child
    settings = Settings(
        port=None, partitions=3, data_dir=tmp_path, log_json=True, advertise="http://127.0.0.1:7"
    )
    for name, value in settings_env(settings).items():
        if name.startswith("UPTAKE_"):
            monkeypatch.setenv(name, value)
    assert "UPTAKE_PORT" not in settings_env(settings)
    monkeypatch.delenv("UPTAKE_PORT")
    assert Settings().model_dump() == {
        **settings.model_dump(),
        "customers_file": settings.customers_file.absolute(),
    }
