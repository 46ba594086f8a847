"""A row of the data set becomes requests that the collector reads as the same impression and click."""

import gzip
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.base.errors import UptakeError
from app.replay.files import check_files, count_files, read_files
from app.replay.request import Author, Request, Unreadable
from events.model import ClickRecommended, Rendered
from events.tracker import Accepted
from tests.support.tracker import LICENSE_KEY, report, rules

HEADER = "timestamp_ms,user,item_id,position,click"
AUTHOR = Author("00000", LICENSE_KEY)


def a_file(folder: Path, *rows: str, name: str = "bts_all.csv", header: str = HEADER) -> Path:
    path = folder / name
    text = "\n".join([header, *rows]) + "\n"
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def requests(*paths: Path, author: Author = AUTHOR) -> list[Request]:
    entries = list(read_files(paths, author))
    assert all(isinstance(entry, Request) for entry in entries), entries
    return [entry for entry in entries if isinstance(entry, Request)]


def accepted(request: Request) -> Accepted:
    outcome = report(request.target, rules=rules(license_key=LICENSE_KEY))
    assert isinstance(outcome, Accepted), outcome
    return outcome


def test_row_without_click_is_one_impression(tmp_path: Path) -> None:
    (request,) = requests(a_file(tmp_path, "1574553617004,14929a11ec,79,2,0"))
    assert request.target.split("&signature=")[0] == (
        "/api/00000/rendered/14929a11ec/1/79?scenario=all&experiment=policies&variant=bts&row=0&rank=1&requestuuid=bts_all%3A1"
        "&overridetimestamp=2019-11-24T00%3A00%3A17"
    )
    assert (request.lane, request.time_ms, request.where) == ("14929a11ec", 1574553617004, "bts_all.csv:2")


def test_collector_takes_the_signature_and_reads_the_impression_and_its_click(tmp_path: Path) -> None:
    impression, click = map(accepted, requests(a_file(tmp_path, "1574553617004,u,79,3,1")))
    assert impression.is_history
    assert click.is_history
    rendered, clicked = impression.event, click.event
    assert isinstance(rendered, Rendered)
    assert isinstance(clicked, ClickRecommended)
    assert (rendered.items, clicked.item, rendered.itemtype, clicked.itemtype) == (("79",), "79", 1, 1)
    for event in (rendered, clicked):
        assert event.time_ms == 1574553617000  # an overridetimestamp has whole seconds
        assert (event.scenario, event.variant, event.row, event.rank) == ("all", "bts", 0, 2)
        assert event.experiment == "policies"
        assert event.request_id == "bts_all:1"
    assert rendered.user == clicked.user


def test_where_md5_is_refused_the_signature_is_of_the_second_kind(tmp_path: Path) -> None:
    author = Author("00000", LICENSE_KEY, takes_md5=False)
    for request in requests(a_file(tmp_path, "1574553617004,u v,79,3,1"), author=author):
        assert "signature=v2%3A" in request.target
        outcome = report(request.target, rules=rules(md5_signatures=False))
        assert isinstance(outcome, Accepted)
        assert outcome.event.time_ms == 1574553617000


def test_times_are_wall_times_of_the_customers_zone(tmp_path: Path) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    (request,) = requests(
        a_file(tmp_path, "1574553617004,u,79,3,0"), author=Author("00000", LICENSE_KEY, zone)
    )
    assert "overridetimestamp=2019-11-24T09%3A00%3A17" in request.target
    outcome = report(request.target, rules=rules(time_zone=zone))
    assert isinstance(outcome, Accepted)
    assert outcome.event.time_ms == 1574553617000


def test_without_a_license_key_it_happens_now(tmp_path: Path) -> None:
    (request,) = requests(a_file(tmp_path, "1574553617004,u,79,3,0"), author=Author("00000"))
    assert "overridetimestamp" not in request.target
    assert "signature" not in request.target


def test_other_order_of_columns_and_more_of_them_are_read(tmp_path: Path) -> None:
    path = a_file(
        tmp_path, "0,u,x,1,79,1574553617004", header="click,user,note,position,item_id,timestamp_ms"
    )
    (request,) = requests(path)
    assert "/rendered/u/1/79?" in request.target


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("x,u,79,3,1", "timestamp_ms"),
        ("-1,u,79,3,1", "timestamp_ms"),
        ("999999999999999,u,79,3,1", "timestamp_ms"),
        ("1574553617004,,79,3,1", "user"),
        ("1574553617004,u,,3,1", "item_id"),
        ("1574553617004,u,79,0,1", "position"),
        ("1574553617004,u,79,1.5,1", "position"),
        ("1574553617004,u,79,٣,1", "position"),
        ("1574553617004,u,79,3,2", "click"),
        ("1574553617004,u,79,3,", "click"),
        ("1574553617004,u,79", "values"),
    ],
)
def test_bad_row_is_told_with_its_place_and_the_next_one_read(tmp_path: Path, row: str, word: str) -> None:
    path = a_file(tmp_path, row, "1574553617004,u,80,3,0")
    bad, good = list(read_files([path], AUTHOR))
    assert isinstance(bad, Unreadable)
    assert bad.where == "bts_all.csv:2"
    assert word in bad.reason
    assert isinstance(good, Request)
    assert "requestuuid=bts_all%3A2" in good.target


def test_files_are_merged_by_time_and_a_click_stays_behind_its_impression(tmp_path: Path) -> None:
    first = a_file(tmp_path, "1000,u,1,1,1", "5000,u,2,1,0", name="bts_all.csv.gz")
    second = a_file(tmp_path, "1000,u,3,1,0", "3000,u,4,1,1", name="random_men.csv.gz")
    merged = [(r.target.split("/")[3], r.target.split("?")[0][-1]) for r in requests(first, second)]
    assert merged == [
        ("rendered", "1"),
        ("clickrecommended", "1"),
        ("rendered", "3"),
        ("rendered", "4"),
        ("clickrecommended", "4"),
        ("rendered", "2"),
    ]


def test_count_is_what_reading_gives(tmp_path: Path) -> None:
    paths = [
        a_file(tmp_path, "1000,u,1,1,1", "bad", "5000,u,2,1,0"),
        a_file(tmp_path, "1000,u,3,1,0", name="a_b.csv.gz"),
    ]
    assert count_files(paths) == len(list(read_files(paths, AUTHOR))) == 5


@pytest.mark.parametrize("name", ["bts.csv", "_all.csv.gz", "bts_.csv"])
def test_name_that_tells_no_policy_and_campaign_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UptakeError, match="policy"):
        check_files([a_file(tmp_path, name=name)])


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UptakeError, match="no such file"):
        check_files([tmp_path / "bts_all.csv"])


def test_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(UptakeError, match="missing: click"):
        requests(a_file(tmp_path, header="timestamp_ms,user,item_id,position"))


def test_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    path = a_file(tmp_path, *(f"1574553617004,u,{n},3,0" for n in range(1000)), name="bts_all.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UptakeError, match="cannot be read after line"):
        requests(path)
