"""Each check of the doctor: what is well, what is not, and the cure."""

import socket
from pathlib import Path

import pytest

from app import doctor
from app.customers import create_customers_file
from app.kafka import jars
from app.ports import free_port
from app.settings import Settings


def test_foreign_owner_of_our_names_is_a_failure() -> None:
    assert doctor.check_names(lambda: {"tables": ["uptake"], "yaml": ["PyYAML"]}).level == "ok"
    check = doctor.check_names(lambda: {"tables": ["uptake", "tables"], "agents": ["openai-agents"]})
    assert check.level == "fail"
    assert "openai-agents, tables" in check.says


@pytest.mark.parametrize(("is_reachable", "level"), [(True, "warn"), (False, "fail")])
def test_missing_java_and_maven_fail_only_without_a_broker(
    monkeypatch: pytest.MonkeyPatch, is_reachable: bool, level: str
) -> None:
    monkeypatch.setattr(jars, "find_java", lambda: None)
    monkeypatch.setattr(jars, "find_lib", lambda: None)
    monkeypatch.setattr(doctor.shutil, "which", lambda _name: None)
    for check in (doctor.check_java(is_reachable), doctor.check_jars(is_reachable)):
        assert check.level == level
        assert "--kafka host:port" in check.cure


def test_broker_that_was_asked_for_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPTAKE_KAFKA", raising=False)
    assert doctor.check_broker(Settings(), is_reachable=False).level == "warn"
    assert doctor.check_broker(Settings(kafka="127.0.0.1:1"), is_reachable=False).level == "fail"
    assert doctor.check_broker(Settings(kafka="127.0.0.1:1"), is_reachable=True).level == "ok"


def test_customers_file_is_missing_well_or_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "uptake.toml"
    settings = Settings(customers_file=path)
    assert doctor.check_customers(settings).level == "warn"
    create_customers_file(path, "00000")
    assert doctor.check_customers(settings).level == "ok"
    path.chmod(0o644)
    check = doctor.check_customers(settings)
    assert (check.level, check.cure) == ("fail", f"chmod 600 {path}")


def test_data_directory_may_be_new_but_not_below_a_file(tmp_path: Path) -> None:
    assert doctor.check_data_dir(Settings(data_dir=tmp_path / "new" / "deep")).level == "ok"
    file = tmp_path / "file"
    file.touch()
    assert doctor.check_data_dir(Settings(data_dir=file / "below")).level == "fail"


def test_port_of_another_program_is_named() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port = listener.getsockname()[1]
        check = doctor.check_port("127.0.0.1", port, "collector")
    assert check.level == "warn"
    assert "another program" in check.says
    assert doctor.check_port("127.0.0.1", port, "collector").level == "ok"


def test_only_a_failure_is_unhealthy() -> None:
    ok, warn, fail = (doctor.Check("x", level, "") for level in ("ok", "warn", "fail"))
    assert doctor.is_healthy([ok, warn])
    assert not doctor.is_healthy([ok, fail])
