"""Each check of the doctor: what is in order, what is not, and the cure."""

import socket
from pathlib import Path

import pytest

from app.base.settings import Settings
from app.customers.customer_registry import create_customers_file
from app.kafka.open_transactions import OpenTransaction
from app.local import doctor, kafka_jars
from app.local.check import Check
from app.local.tcp_ports import free_port
from events.topics import JOURNAL


def test_foreign_owner_of_our_names_is_a_failure() -> None:
    assert doctor.check_names(lambda: {"tables": ["uptake"], "yaml": ["PyYAML"]}).level == "ok"
    check = doctor.check_names(lambda: {"tables": ["uptake", "tables"], "agents": ["openai-agents"]})
    assert check.level == "fail"
    assert "openai-agents, tables" in check.finding


@pytest.mark.parametrize(("is_reachable", "level"), [(True, "warn"), (False, "fail")])
def test_missing_java_and_maven_fail_only_without_a_broker(
    monkeypatch: pytest.MonkeyPatch, is_reachable: bool, level: str
) -> None:
    monkeypatch.setattr(kafka_jars, "find_java", lambda: None)
    monkeypatch.setattr(kafka_jars, "find_lib", lambda: None)
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
    assert [check.level for check in doctor.check_customers(settings)] == ["warn"]
    create_customers_file(path, "00000")
    assert [check.level for check in doctor.check_customers(settings)] == ["ok"]
    path.write_text(path.read_text() + "max_itemtyp = 3\n")
    assert [check.level for check in doctor.check_customers(settings)] == ["fail"]
    path.chmod(0o644)
    (check,) = doctor.check_customers(settings)
    assert (check.level, check.cure) == ("fail", f"chmod 600 {path}")


@pytest.mark.parametrize(
    ("host", "lines", "words"),
    [
        ("127.0.0.1", "", []),
        ("127.0.0.1", 'license_key = "word-123"', ["license_key of 8 characters"]),
        ("127.0.0.1", 'api_key = "sixteen-letters-"', ["api_key of 16 characters"]),
        ("127.0.0.1", f'previous_key_id = "k0"\nprevious_pseudonym_key = "{"ef" * 32}"', ["rotates", "k0"]),
        ("0.0.0.0", "", ["require_credentials is not set", "no api_key"]),
        (
            "0.0.0.0",
            'license_key = "a-license-key-long-enough"\napi_key = "an-api-key-long-enough-too"',
            ["require_credentials is not set", "md5"],
        ),
        (
            "0.0.0.0",
            (
                'license_key = "a-license-key-long-enough"\napi_key = "an-api-key-long-enough-too"\n'
                "require_credentials = true\nmd5_signatures = false"
            ),
            [],
        ),
    ],
)
def test_what_a_customer_may_not_have_meant_is_named_with_its_cure_and_no_key(
    tmp_path: Path, host: str, lines: str, words: list[str]
) -> None:
    path = tmp_path / "uptake.toml"
    path.write_text(f'[customers.shop]\nkey_id = "k1"\npseudonym_key = "{"ab" * 32}"\n{lines}\n')
    path.chmod(0o600)
    first, *doubts = doctor.check_customers(Settings(customers_file=path, host=host))
    assert first.level == "ok"
    said = "\n".join(f"{check.finding} -> {check.cure}" for check in doubts)
    assert [word for word in words if word not in said] == []
    assert bool(doubts) is bool(words)
    assert all(check.level == "warn" and "shop" in check.finding and check.cure for check in doubts)
    keys = [line.split('"')[1] for line in path.read_text().splitlines() if "_key =" in line]
    assert [key for key in keys if key in said] == []


@pytest.mark.parametrize(
    ("host", "key", "words"),
    [
        ("127.0.0.1", None, None),
        ("::1", "short", None),
        ("0.0.0.0", None, "0 characters"),
        ("worker-0", "too-short-a-key", "can be guessed"),
        ("::", "an-admin-key-long-enough", None),
    ],
)
def test_servers_off_loopback_need_an_operators_key(host: str, key: str | None, words: str | None) -> None:
    checks = doctor.check_admin_key(Settings(host=host, admin_key=key))
    assert bool(checks) is (words is not None)
    for check in checks:
        assert (check.level, check.cure) == ("warn", "export UPTAKE_ADMIN_KEY=$(openssl rand -hex 32)")
        assert words is not None
        assert words in check.finding
        assert key is None or key not in check.finding


def test_doctor_checks_the_operators_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UPTAKE_ADMIN_KEY", raising=False)
    settings = Settings(kafka="127.0.0.1:1", host="0.0.0.0", data_dir=tmp_path, customers_file=tmp_path / "u")
    assert "admin key" in [check.name for check in doctor.examine(settings)]


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
    assert "another program" in check.finding
    assert doctor.check_port("127.0.0.1", port, "collector").level == "ok"


def test_only_a_failure_is_unhealthy() -> None:
    ok, warn, fail = (Check("x", level, "") for level in ("ok", "warn", "fail"))
    assert doctor.is_healthy([ok, warn])
    assert not doctor.is_healthy([ok, fail])


NOW_MS = 1_700_000_000_000


def a_transaction(age_ms: int, partition: int = 3, name: str | None = "foreign") -> OpenTransaction:
    return OpenTransaction(JOURNAL, partition, 17, 1001, 0, NOW_MS - age_ms, name)


@pytest.mark.parametrize(
    ("ages_ms", "level"), [([], "ok"), ([7_999], "ok"), ([8_000], "fail"), ([10, 60_000], "fail")]
)
def test_transaction_that_is_open_for_long_fails(ages_ms: list[int], level: str) -> None:
    found = [a_transaction(age_ms) for age_ms in ages_ms]
    assert doctor.judge_transactions("broker:9092", found, NOW_MS).level == level


def test_oldest_transaction_is_named_with_the_command_that_aborts_it() -> None:
    found = [a_transaction(9_000, 1), a_transaction(60_000, 2), a_transaction(10, 0)]
    check = doctor.judge_transactions("broker:9092", found, NOW_MS)
    for words in ("uptake.events partition 2", "producer 1001 (foreign)", "at 17 for 60 s", "(2 are open)"):
        assert words in check.finding
    command = "kafka-transactions.sh --bootstrap-server broker:9092 forceTerminateTransaction --transactionalId foreign"
    assert command in check.cure


def test_transaction_that_no_coordinator_knows_is_aborted_in_its_partition() -> None:
    check = doctor.judge_transactions("broker:9092", [a_transaction(9_000, name=None)], NOW_MS)
    assert "producer 1001 has been open" in check.finding
    assert "abort --topic uptake.events --partition 3 --start-offset 17" in check.cure
