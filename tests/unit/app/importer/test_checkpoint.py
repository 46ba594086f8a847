"""A checkpoint continues its own import and no other; the rejects file holds the rows that it counts."""

import json
import stat
from pathlib import Path

import pytest

from app.base.errors import UptakeError
from app.importer.checkpoint import Bookkeeper, Identity, identify, locked
from app.importer.ledger import Ledger, RejectedRow, RowCounts
from app.importer.mapping import make_mapping

MAPPING = make_mapping(columns=["user=u", "item=i", "time=t"], constants=["event=click"])
OTHER = make_mapping(columns=["user=u", "item=i", "time=t"], constants=["event=buy"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("u,i,t\n" + "anna,1,5\n" * 100_000)
    return path


def books(folder: Path, identity: Identity) -> Bookkeeper:
    made = Bookkeeper(folder / "c", folder / "r", identity)
    made.open()
    return made


def a_reject(row: int) -> RejectedRow:
    return RejectedRow(row, "bad_item", "says so", "text")


def test_import_goes_on_where_it_was(tmp_path: Path, data: Path) -> None:
    identity = identify(data, MAPPING, "00000")
    first = books(tmp_path, identity)
    first.save(50, 90, RowCounts(accepted=48, rejected=1), [a_reject(7)], 1_234)
    first.close()
    second = books(tmp_path, identity)
    second.close()
    state = second.state
    assert (state.next_row, state.may_be_sent, state.written_ms, state.is_finished) == (50, 90, 1_234, False)
    assert state.counts() == RowCounts(accepted=48, rejected=1)


def test_rejects_that_no_checkpoint_counts_are_cut_off(tmp_path: Path, data: Path) -> None:
    identity = identify(data, MAPPING, "00000")
    first = books(tmp_path, identity)
    first.save(8, 8, RowCounts(rejected=1), [a_reject(7)], 1)
    first.close()
    with (tmp_path / "r").open("ab") as file:
        file.write(b'{"row":8,"code":"bad')
    second = books(tmp_path, identity)
    second.save(9, 9, RowCounts(rejected=2), [a_reject(8)], 2)
    second.close()
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert [line["row"] for line in lines] == [7, 8]


def test_both_files_are_readable_by_their_owner_only(tmp_path: Path, data: Path) -> None:
    made = books(tmp_path, identify(data, MAPPING, "00000"))
    made.save(8, 8, RowCounts(), [a_reject(7)], 1)
    made.close()
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "cr"] == [0o600, 0o600]


def test_without_rejects_there_is_no_file(tmp_path: Path, data: Path) -> None:
    made = books(tmp_path, identify(data, MAPPING, "00000"))
    made.save(8, 8, RowCounts(accepted=7), [], 1)
    assert not (tmp_path / "r").exists()


def test_checkpoint_of_another_import_is_refused_with_the_difference(tmp_path: Path, data: Path) -> None:
    identity = identify(data, MAPPING, "00000")
    books(tmp_path, identity).save(8, 8, RowCounts(), [], 1)
    with pytest.raises(UptakeError, match="for another customer"):
        books(tmp_path, identify(data, MAPPING, "1"))
    with pytest.raises(UptakeError, match="another meaning"):
        books(tmp_path, identify(data, OTHER, "00000"))
    text = data.read_text()
    data.write_text(text.replace("anna,1", "anna,2", 1))
    with pytest.raises(UptakeError, match="other content"):
        books(tmp_path, identify(data, MAPPING, "00000"))
    data.write_text(text[:-9] + "anna,2,5\n")
    with pytest.raises(UptakeError, match="other content"):
        books(tmp_path, identify(data, MAPPING, "00000"))
    data.write_text(text + "anna,1,5\n")
    with pytest.raises(UptakeError, match="another size"):
        books(tmp_path, identify(data, MAPPING, "00000"))


@pytest.mark.parametrize("content", ["", "{}", "no", '{"v": 1}'])
def test_file_that_is_no_checkpoint_is_refused(tmp_path: Path, data: Path, content: str) -> None:
    (tmp_path / "c").write_text(content)
    with pytest.raises(UptakeError, match="not a checkpoint of an import"):
        books(tmp_path, identify(data, MAPPING, "00000"))


def test_ids_of_two_imports_differ_and_a_moved_file_is_the_same(tmp_path: Path, data: Path) -> None:
    moved = tmp_path / "moved.csv"
    moved.write_bytes(data.read_bytes())
    assert identify(moved, MAPPING, "00000") == identify(data, MAPPING, "00000")
    ids = {
        identify(data, mapping, customer).import_id for mapping in (MAPPING, OTHER) for customer in ("1", "2")
    }
    assert len(ids) == 4


def test_file_is_imported_by_one_at_a_time(data: Path) -> None:
    with locked(data), pytest.raises(UptakeError, match="another"), locked(data):
        pass
    with locked(data):
        pass


def test_ledger_settles_in_order_whatever_order_the_answers_have() -> None:
    ledger = Ledger(1, RowCounts())
    ledger.decide(3, a_reject(3))
    ledger.decide(2, "accepted")
    assert (ledger.next_row, ledger.take_rejects()) == (1, [])
    ledger.decide(1, a_reject(1))
    assert (ledger.next_row, [reject.row for reject in ledger.take_rejects()]) == (4, [1, 3])
    ledger.decide(4, "skipped")
    assert ledger.counts == RowCounts(accepted=1, rejected=2, skipped=1)
    assert ledger.take_rejects() == []
