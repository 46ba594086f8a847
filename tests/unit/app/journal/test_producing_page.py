"""The recipe of docs/producing.md gives the same results as our code."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.journal import producer
from events.model import user_key
from events.partitions import murmur2, partition_of
from events.pseudonym import pseudonym

PAGE = (Path(__file__).parents[4] / "docs" / "producing.md").read_text(encoding="utf-8")
VECTORS = re.findall(r"^\| `([^`]+)` \| `(k1\.[^`]+)` \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)


def test_page_has_vectors() -> None:
    assert len(VECTORS) == 4


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector[0])
def test_vector_is_what_the_collector_makes(vector: tuple[str, ...]) -> None:
    raw_user, user, digest, of_8, of_12 = vector
    key = user_key("00000", user)
    assert user == pseudonym(bytes(32), "k1", raw_user)
    assert (murmur2(key) & 0x7FFFFFFF, partition_of(key, 8), partition_of(key, 12)) == (
        int(digest),
        int(of_8),
        int(of_12),
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="the line is for openssl, which is not here")
def test_openssl_line_makes_the_pseudonym_of_its_vector() -> None:
    (line,) = re.findall(r"^\$ (printf %s maxmustermann .*)$", PAGE, re.MULTILINE)
    made = subprocess.run(
        ["bash", "-c", line], env={"PATH": "/usr/bin:/bin", "PSEUDONYM_KEY": "00" * 32}, capture_output=True
    )
    assert made.stderr == b""
    assert f"k1.{made.stdout.decode().strip()}" == VECTORS[0][1]


def test_example_of_the_module_is_part_of_the_one_that_the_integration_test_runs() -> None:
    assert producer.__doc__ is not None
    example = [line.strip() for line in producer.__doc__.splitlines() if line.startswith("    ")]
    example = [line for line in example if not line.startswith("from ")]  # it imports fewer names
    shown = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    for line in example:
        assert line.removeprefix("await ") in shown
    assert len(example) > 4
