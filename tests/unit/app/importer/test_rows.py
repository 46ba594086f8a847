"""Rows have the same numbers in every run, wherever it begins; a bad row does not hide the next one."""

import gzip
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.base.errors import UptakeError
from app.importer.mapping import make_mapping
from app.importer.rows import MAX_LINE_BYTES, FileRow, count_rows, read_rows

MAPPING = make_mapping(columns=["user=u", "item=i", "time=t"], constants=["event=click"])
NAMELESS = make_mapping(
    columns=["user=u", "item=i", "time=t"], constants=["event=click"], given={"columns": ["u", "i", "t"]}
)
CSV = 'u,i,t\nanna,1,5\n"x, y","2\n3",6\n\nbert,4\ncarl,5,7\n'


def read(path: Path, mapping: Any = MAPPING, start: int = 1) -> list[FileRow]:
    return list(read_rows(path, mapping, start))


@pytest.fixture(params=["csv", "csv.gz"])
def csv_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"rows.{request.param}"
    data = CSV.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_csv_rows_are_read_with_their_columns(csv_file: Path) -> None:
    first, second, third, fourth = read(csv_file)
    assert first == FileRow(1, {"u": "anna", "i": "1", "t": "5"})
    assert second.values == {"u": "x, y", "i": "2\n3", "t": "6"}
    assert (third.number, third.values, third.text) == (3, None, "bert,4")
    assert third.problem == "the row has 2 values, and there are 3 columns"
    assert (fourth.number, fourth.values) == (4, {"u": "carl", "i": "5", "t": "7"})


def test_reading_from_a_row_on_gives_the_same_rows(csv_file: Path) -> None:
    everything = read(csv_file)
    for start in range(1, 6):
        assert read(csv_file, start=start) == everything[start - 1 :]


def test_csv_without_names_has_those_that_are_given(tmp_path: Path) -> None:
    path = tmp_path / "clicks.dat"
    path.write_text("\ufeffanna,1,5\n")
    assert read(path, NAMELESS) == [FileRow(1, {"u": "anna", "i": "1", "t": "5"})]
    assert count_rows(path, NAMELESS) == 1


def test_tab_stands_between_the_values_of_tsv(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("u\ti\tt\na\t1\t5\n")
    assert read(path)[0].values == {"u": "a", "i": "1", "t": "5"}


def test_line_beyond_all_bounds_is_one_bad_row(tmp_path: Path) -> None:
    long = "x" * (2 * MAX_LINE_BYTES)
    csv = tmp_path / "rows.csv"
    csv.write_text(f"u,i,t\n{long},1,5\nanna,1,5\n")
    jsonl = tmp_path / "rows.jsonl"
    jsonl.write_text(f'{{"u":"{long}"}}\n{{"u":"anna"}}\n')
    for path in (csv, jsonl):
        bad, good = read(path)
        assert bad.values is None
        assert len(bad.shown()) <= 2_000
        assert (good.number, good.values and good.values["u"]) == (2, "anna")


def test_what_is_not_utf8_can_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"u,i,t\n\xff,1,5\n")
    (row,) = read(path)
    row.shown().encode()


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"u":"a","i":1,"t":5}\n\n{"u":\n[1]\n{"u":"b"}\n')
    found = read(path)
    assert [(row.number, row.values) for row in found] == [
        (1, {"u": "a", "i": 1, "t": 5}),
        (2, None),
        (3, None),
        (4, {"u": "b"}),
    ]
    assert found[1].text == '{"u":'
    assert found[2].problem == "the line is not a JSON object"
    assert read(path, start=3) == found[2:]


def a_parquet_file(path: Path, count: int = 10) -> None:
    start = datetime(2014, 4, 7, tzinfo=UTC)
    table = pa.table(
        {
            "u": [f"user {number}" for number in range(count)],
            "i": pa.array(range(count), pa.int64()),
            "t": pa.array(
                [start + timedelta(seconds=number) for number in range(count)], pa.timestamp("ns", "UTC")
            ),
            "other": ["x"] * count,
        }
    )
    pq.write_table(table, path, row_group_size=3)


def test_parquet_is_read_by_row_group_and_from_any_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    a_parquet_file(path)
    everything = read(path)
    assert [row.number for row in everything] == list(range(1, 11))
    assert everything[4].values == {"u": "user 4", "i": 4, "t": datetime(2014, 4, 7, 0, 0, 4, tzinfo=UTC)}
    for start in range(1, 13):
        assert read(path, start=start) == everything[start - 1 :]
    assert count_rows(path, MAPPING) == 10


def test_parquet_without_pyarrow_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    a_parquet_file(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UptakeError, match="pip install"):
        read(path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_column_that_is_not_there_is_told_of(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("u,i,when\n")
    else:
        pq.write_table(pa.table({"u": ["a"], "i": [1], "when": [5]}), path)
    with pytest.raises(UptakeError, match="no column t; there are u, i, when"):
        read(path)


def test_column_that_is_named_twice_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("u,i,t,t\n")
    with pytest.raises(UptakeError, match="same name"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content"), [("a.parquet", b"no"), ("a.csv.gz", b"no"), ("a.jsonl.gz", b"\x1f\x8b")]
)
def test_file_that_is_not_what_its_name_says_is_told_of(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UptakeError, match=f"{name}: cannot be read"):
        read(path)
    with pytest.raises(UptakeError, match=f"{name}: cannot be read"):
        count_rows(path, MAPPING)


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz"])
def test_name_that_says_nothing_is_told_of(tmp_path: Path, name: str) -> None:
    with pytest.raises(UptakeError, match="must end in"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "count"), [("u,i,t\na,1,5\nb,1,5\n", 2), ("u,i,t\na,1,5", 1), ("u,i,t\n", 0), ("", 0)]
)
def test_rows_are_counted(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert count_rows(path, MAPPING) == count
