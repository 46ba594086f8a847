"""The size of the cache: the setting wins, else a bounded share of what is free."""

from pathlib import Path

from app.base.cache_size import cache_size
from tests.unit.app.base.test_free_memory import MIB, machine, v2


def test_setting_wins(tmp_path: Path) -> None:
    assert cache_size(5_000_000_000, machine(tmp_path)) == (5_000_000_000, "UPTAKE_CACHE_BYTES")


def test_workers_that_share_a_machine_get_a_quarter_of_what_is_available_together(tmp_path: Path) -> None:
    size = cache_size(None, machine(tmp_path), cores=4)
    assert size.size_bytes == 500 * MIB
    assert size.reason == (
        "a quarter of 8,000 MiB of memory that the machine has available, for 4 workers, one a core"
    )


def test_a_worker_alone_in_its_control_group_gets_a_quarter_of_what_is_left_there(tmp_path: Path) -> None:
    size = cache_size(None, machine(tmp_path, "0::/app\n", v2("app", str(1_100 * MIB))), cores=4)
    assert size.size_bytes == 250 * MIB
    assert size.reason == (
        "a quarter of 1,000 MiB of memory that the control group's limit of 1100 MiB leaves"
    )


def test_share_of_a_large_machine_is_bounded(tmp_path: Path) -> None:
    size = cache_size(None, machine(tmp_path), cores=1)
    assert size.size_bytes == 1_024 * MIB
    assert size.reason.startswith("at most 1,024 MiB, less than a quarter of 8,000 MiB")


def test_share_of_a_small_machine_is_bounded(tmp_path: Path) -> None:
    size = cache_size(None, machine(tmp_path, "0::/app\n", v2("app", str(150 * MIB))))
    assert size.size_bytes == 32 * MIB
    assert size.reason.startswith("at least 32 MiB, more than a quarter of 50 MiB")


def test_system_that_says_nothing_gets_a_modest_size(tmp_path: Path) -> None:
    assert cache_size(None, tmp_path).size_bytes == 96 * MIB
