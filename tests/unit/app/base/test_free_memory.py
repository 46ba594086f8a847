"""Free memory by the files of Linux: with and without a limit of the control group, in both versions of these."""

from pathlib import Path

import pytest

from app.base.free_memory import free_memory

MIB = 1_048_576
UNLIMITED_V1 = "9223372036854771712"


def machine(root: Path, cgroup: str = "", files: dict[str, str] | None = None) -> Path:
    """Write the files of a machine with 16,000 MiB, of which 8,000 are available."""
    written = {
        "proc/meminfo": f"MemTotal: {16_000 * 1024} kB\nMemFree: 1 kB\nMemAvailable: {8_000 * 1024} kB\n",
        "proc/self/cgroup": cgroup,
        **(files or {}),
    }
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(folder: str, limit: str, used: int = 100 * MIB, cache: int = 0) -> dict[str, str]:
    at = f"sys/fs/cgroup/{folder}"
    return {
        f"{at}/memory.max": f"{limit}\n",
        f"{at}/memory.current": f"{used}\n",
        f"{at}/memory.stat": f"anon 5\ninactive_file {cache}\n",
    }


def v1(folder: str, limit: str, used: int = 100 * MIB, cache: int = 0) -> dict[str, str]:
    at = f"sys/fs/cgroup/memory/{folder}"
    return {
        f"{at}/memory.limit_in_bytes": f"{limit}\n",
        f"{at}/memory.usage_in_bytes": f"{used}\n",
        f"{at}/memory.stat": f"cache 7\ninactive_file 1\ntotal_inactive_file {cache}\n",
    }


OLD_GROUPS = "5:devices:/\n4:cpu,memory:/app\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "free_mib", "is_own"),
    [
        ("", {}, 8_000, False),
        ("0::/\n", {}, 8_000, False),
        ("0::/app\n", v2("app", "max"), 8_000, False),
        ("0::/app\n", v2("app", str(1_000 * MIB)), 900, True),
        ("0::/app\n", v2("app", str(1_000 * MIB), cache=40 * MIB), 940, True),  # cached files can make room
        ("0::/outer/app\n", v2("outer", str(500 * MIB)) | v2("outer/app", "max"), 400, True),
        (
            "0::/gone/from/here\n",
            v2("", str(700 * MIB)),
            600,
            True,
        ),  # a container sees the mounted group only
        ("0::/app\n", v2("app", str(1_000 * MIB), used=1_001 * MIB), 0, True),
        (
            "0::/app\n",
            v2("app", str(14_000 * MIB)),
            8_000,
            False,
        ),  # the machine has less than the limit leaves
        (OLD_GROUPS, v1("app", UNLIMITED_V1), 8_000, False),
        (OLD_GROUPS, v1("app", str(1_000 * MIB), cache=50 * MIB), 950, True),
        (OLD_GROUPS, v1("", str(300 * MIB)) | v1("app", str(1_000 * MIB)), 200, True),
        (OLD_GROUPS, v1("", str(2_000 * MIB)), 1_900, True),
    ],
)
def test_free_memory_is_the_least_of_all_bounds(
    tmp_path: Path, cgroup: str, files: dict[str, str], free_mib: int, is_own: bool
) -> None:
    found = free_memory(machine(tmp_path, cgroup, files))
    assert found is not None
    assert (found.size_bytes, found.is_own) == (free_mib * MIB, is_own)
    assert ("control group" in found.source) == is_own


def test_system_without_these_files_says_nothing(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None


def test_free_memory_of_this_machine_is_found() -> None:
    found = free_memory()
    assert found is not None
    assert found.size_bytes > 0
