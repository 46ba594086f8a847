"""Reads the rows of CSV, JSON lines and Parquet files, from any row on, in bounded memory."""

import csv
import gzip
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import msgspec

from app.base.errors import UptakeError
from app.importer.mapping import Format, RowMapping

MAX_LINE_BYTES: Final = 1_048_576  # a longer line is cut, which makes its row invalid
_BLOCK_BYTES: Final = 1_048_576
_PARQUET_ROWS: Final = 2_000
_SHOWN_CHARS: Final = 2_000
_KINDS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".dat": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class FileRow(NamedTuple):
    """One row: its number from 1, and its values by column.

    A bad row has None as values, the reason as ``problem``, and its beginning as ``text``.
    """

    number: int
    values: Mapping[str, Any] | None
    text: str = ""
    problem: str = ""

    def shown(self) -> str:
        """Return the row as text for people, at most 2,000 characters."""
        if self.values is None:
            return self.text[:_SHOWN_CHARS]
        plain = {
            column: value if isinstance(value, str | int | float) else str(value)
            for column, value in self.values.items()
        }
        try:
            return msgspec.json.encode(plain).decode()[:_SHOWN_CHARS]
        except UnicodeEncodeError:
            return str(plain)[:_SHOWN_CHARS].encode("utf-8", "backslashreplace").decode()


def kind_of(path: Path) -> str:
    """Return ``csv``, ``jsonl`` or ``parquet``, by the ending of the file's name; raise UptakeError if it is another one."""
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    kind = _KINDS.get(suffix)
    if kind is None or (kind == "parquet" and path.name.lower().endswith(".gz")):
        endings = ", ".join(_KINDS)
        raise UptakeError(f"{path}: the name must end in one of {endings}; text may be compressed (.gz)")
    return kind


def read_rows(path: Path, mapping: RowMapping, start: int = 1) -> Iterator[FileRow]:
    """Yield the rows of a file from number ``start`` on; raise UptakeError if it cannot be read, or lacks a column."""
    kind = kind_of(path)
    if kind == "parquet":
        rows = _parquet(path, mapping, start)
    else:
        rows = _csv(path, mapping) if kind == "csv" else _jsonl(path)
        rows = itertools.islice(rows, start - 1, None)
    try:
        yield from rows
    except (OSError, EOFError) as error:
        raise UptakeError(f"{path}: cannot be read: {error}") from error


def count_rows(path: Path, mapping: RowMapping) -> int:
    """Return the number of rows of a file; raise UptakeError if it cannot be read.

    It is exact for Parquet. For text it is the number of lines, which is larger if some are empty or a row has several lines.
    """
    if kind_of(path) == "parquet":
        return int(_parquet_file(path).metadata.num_rows)
    lines, last = 0, b"\n"
    try:
        with _open(path) as file:
            while block := file.read(_BLOCK_BYTES):
                lines += block.count(b"\n")
                last = block[-1:]
    except (OSError, EOFError) as error:
        raise UptakeError(f"{path}: cannot be read: {error}") from error
    has_names = kind_of(path) == "csv" and not mapping.format.columns
    return max(0, lines + (last != b"\n") - has_names)


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file without a byte order mark, each cut at MAX_LINE_BYTES."""
    is_first = True
    while line := file.readline(MAX_LINE_BYTES):
        if is_first:
            line, is_first = line.removeprefix(b"\xef\xbb\xbf"), False
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES)
        yield line


def _jsonl(path: Path) -> Iterator[FileRow]:
    decoder = msgspec.json.Decoder()
    with _open(path) as file:
        for number, line in enumerate((line for line in _lines(file) if line.strip()), 1):
            try:
                value = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                text = line[:_SHOWN_CHARS].decode("utf-8", "backslashreplace").rstrip("\n")
                yield FileRow(number, None, text, f"the line is not JSON: {error}")
                continue
            if isinstance(value, dict):
                yield FileRow(number, value)
            else:
                yield FileRow(
                    number, None, line[:_SHOWN_CHARS].decode().rstrip("\n"), "the line is not a JSON object"
                )


def _csv(path: Path, mapping: RowMapping) -> Iterator[FileRow]:
    delimiter = _delimiter(path, mapping.format)
    with _open(path) as file:
        # Bytes that are not UTF-8 become lone surrogates: a bad row is reported, and the next one is still read.
        reader = csv.reader(
            (line.decode("utf-8", "surrogateescape") for line in _lines(file)), delimiter=delimiter
        )
        columns = mapping.format.columns or tuple(next(reader, ()))
        _check_columns(path, mapping, columns)
        number = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield FileRow(number, None, "", f"line {reader.line_num} cannot be read: {error}")
                continue
            if not cells:
                continue
            number += 1
            if len(cells) == len(columns):
                yield FileRow(number, dict(zip(columns, cells, strict=True)))
            else:
                text = delimiter.join(cells)[:_SHOWN_CHARS].encode("utf-8", "backslashreplace").decode()
                yield FileRow(
                    number,
                    None,
                    text,
                    f"the row has {len(cells)} values, and there are {len(columns)} columns",
                )


def _delimiter(path: Path, format_: Format) -> str:
    if format_.delimiter is not None:
        return format_.delimiter
    return "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


def _parquet(path: Path, mapping: RowMapping, start: int) -> Iterator[FileRow]:
    file = _parquet_file(path)
    _check_columns(path, mapping, file.schema_arrow.names)
    columns = sorted(set(mapping.map.values()))
    before = 0
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if before + size >= start:
            number = before
            for batch in file.iter_batches(_PARQUET_ROWS, row_groups=[group], columns=columns):
                for values in _whole_ms(batch).to_pylist() if number + batch.num_rows >= start else ():
                    number += 1
                    if number >= start:
                        yield FileRow(number, values)
                number = max(number, before)
        before += size


def _whole_ms(batch: Any) -> Any:
    """Return a batch with its times in milliseconds, because Python's datetime has no nanoseconds."""
    import pyarrow as pa

    for place, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type):
            ms = batch.column(place).cast(pa.timestamp("ms", field.type.tz), safe=False)
            batch = batch.set_column(place, field.name, ms)
    return batch


def _parquet_file(path: Path) -> Any:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UptakeError(
            f"{path}: reading Parquet needs pyarrow, which is not installed; run: pip install 'pyarrow>=21'"
        ) from None
    try:
        return ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UptakeError(f"{path}: cannot be read as Parquet: {error}") from None


def _check_columns(path: Path, mapping: RowMapping, columns: Iterable[str]) -> None:
    there = list(columns)
    missing = [column for column in mapping.map.values() if column not in there]
    if missing:
        raise UptakeError(
            f"{path}: has no column {', '.join(missing)}; there are {', '.join(there) or 'none'}"
        )
    if len(set(there)) != len(there):
        raise UptakeError(f"{path}: two columns have the same name; name them all with --columns")
