"""S1: the collector answers every bad request as documented, records none of it, and keeps taking good events."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.bad_inputs import CLOSED, BadInput, http_cases, tracker_cases
from tests.faults.bad_json import body_cases, element_cases
from tests.faults.ledger import Outcome
from tests.support.golden import CUSTOMERS_TOML, pseudonym
from tests.support.live_collector import Answer, LiveCollector, live_collector

pytestmark = [pytest.mark.broker, pytest.mark.fault("S1")]

TIMEOUT_MS = 1_000
CLIENTS = 8
CASES = [*tracker_cases(), *http_cases(), *body_cases(), *element_cases()]
SHOPPER = "shopper"  # the user who sends good events


@pytest.fixture
def collector(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCollector]:
    directory = tmp_path_factory.mktemp("bad-input")
    with live_collector(
        kafka, directory, CUSTOMERS_TOML, UPTAKE_REQUEST_TIMEOUT_MS=str(TIMEOUT_MS)
    ) as started:
        yield started


class Shopper(threading.Thread):
    """Sends good events the whole time; each must be answered 204 and recorded once."""

    def __init__(self, collector: LiveCollector) -> None:
        super().__init__(daemon=True)
        self._collector, self._finished = collector, threading.Event()
        self.sent = 0
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        while not self._finished.is_set():
            self.answers[self._collector.ask(f"GET /api/00000/click/{SHOPPER}/1/{self.sent}").status] += 1
            self.sent += 1
            time.sleep(0.01)

    def finish(self) -> None:
        self._finished.set()
        self.join()


def wrong(case: BadInput, answer: Answer) -> str | None:
    """Return how an answer differs from the documented one; None if it does not."""
    said = f"{case.name}: {answer.status} {answer.body[:200]!r}"
    if answer.status != case.status:
        return f"{said}, expected {case.status}"
    if case.status == CLOSED:
        return None
    if case.status == 200:
        told = answer.problem
        codes = {result.get("code") for result in told["results"]}
        return None if (told["accepted"], codes) == (0, {case.code}) else f"{said}, expected {case.code}"
    if case.code is not None and answer.problem["code"] != case.code:
        return f"{said}, expected {case.code}"
    if "Set-Cookie" in answer.headers or b"<script" in answer.body.lower() or not answer.body:
        return said
    return None


def test_bad_inputs_are_refused_as_documented_and_leave_nothing(
    collector: LiveCollector, is_long: bool
) -> None:
    cases = CASES * (10 if is_long else 1)
    shopper = Shopper(collector)
    shopper.start()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda case: collector.send(case.request), cases))
    shopper.finish()
    complaints = [said for case, answer in zip(cases, answers, strict=True) if (said := wrong(case, answer))]
    assert not complaints, "\n".join(complaints)

    records = collector.records()
    good = [record for record in records if record.value["user"] == pseudonym("00000", SHOPPER)]
    found = {record.value["item"] for record in good}
    statuses = Counter(answer.status for answer in answers)
    Outcome(
        fault="S1",
        sent=shopper.sent,
        lost=shopper.answers[204] - len(found),
        doubled=len(good) - len(found),
        effect={"refused": len(cases) - statuses[CLOSED], "closed": statuses[CLOSED]},
        more={
            "cases": len(CASES),
            "server_errors": sum(count for status, count in statuses.items() if status >= 500),
            "recorded": len(records) - len(good),
        },
    ).must_be_exact()
    assert shopper.answers == {204: shopper.sent}
    assert [record.value for record in records if record not in good] == []
    log = collector.log.read_text()
    assert "Traceback" not in log
    assert SHOPPER not in log
