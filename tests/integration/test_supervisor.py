"""The supervisor starts, restarts and stops real processes in order, and leaves none behind."""

import asyncio
import http.server
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.local.supervised import CommandPart
from app.local.supervisor import LinePrinter, NotReadyError, Supervisor
from app.local.tcp_ports import free_port

SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


class Lines:
    """The output of the parts: (name, line) pairs."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.seen.append((name, line))

    async def wait_for(self, name: str, line: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.seen.count((name, line)) < times:
                await asyncio.sleep(0.01)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_output_is_merged_with_names_and_parts_stop() -> None:
    lines = Lines()
    supervisor = Supervisor(lines)
    supervisor.add("a", python(SLEEPS))
    supervisor.add("b", python("import sys; print('to stderr', file=sys.stderr, flush=True);" + SLEEPS))
    try:
        await supervisor.start()
        await lines.wait_for("a", "up")
        await lines.wait_for("b", "to stderr")
        pids = supervisor.pids
        assert set(pids) == {"a", "b"}
        assert all(is_alive(pid) for pid in pids.values())
    finally:
        await supervisor.stop()
    assert supervisor.pids == {}
    assert not any(is_alive(pid) for pid in pids.values())


async def test_crashed_part_is_started_again_with_a_growing_pause(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines()
    supervisor = Supervisor(lines, first_pause_s=0.1)
    supervisor.add("a", python("import sys; print('up', flush=True); sys.exit(3)"))
    try:
        await supervisor.start()
        await lines.wait_for("a", "up", times=4)
    finally:
        await supervisor.stop()
    assert supervisor.restarts["a"] >= 3
    said = [record.getMessage() for record in caplog.records if record.name == "app.local.supervisor"]
    assert said[:3] == [
        f"a ended with status 3; it is started again in {pause:g} s" for pause in (0.1, 0.2, 0.4)
    ]


async def test_killed_part_comes_back_with_another_pid() -> None:
    lines = Lines()
    supervisor = Supervisor(lines, first_pause_s=0.05)
    supervisor.add("a", python(SLEEPS))
    try:
        await supervisor.start()
        await lines.wait_for("a", "up")
        first = supervisor.pids["a"]
        os.kill(first, signal.SIGKILL)
        await lines.wait_for("a", "up", times=2)
        assert supervisor.pids["a"] != first
    finally:
        await supervisor.stop()


async def test_higher_stage_has_ended_before_a_lower_one_is_asked_to() -> None:
    lines = Lines()
    supervisor = Supervisor(lines)
    says_when = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    print('asked', flush=True); time.sleep(0.3); print('ended', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    for stage, name in enumerate(("kafka", "worker", "collector")):
        supervisor.add(name, python(says_when), stage=stage)
    await supervisor.start()
    for name in ("kafka", "worker", "collector"):
        await lines.wait_for(name, "up")
    await supervisor.stop()
    assert [entry for entry in lines.seen if entry[1] != "up"] == [
        (name, word) for name in ("collector", "worker", "kafka") for word in ("asked", "ended")
    ]


async def test_part_that_does_not_stop_is_killed_at_its_deadline() -> None:
    lines = Lines()
    supervisor = Supervisor(lines)
    supervisor.add("a", python(STUBBORN), stop_timeout_ms=300)
    await supervisor.start()
    await lines.wait_for("a", "up")
    pid = supervisor.pids["a"]
    start = time.monotonic()
    await supervisor.stop()
    assert 0.25 < time.monotonic() - start < 5
    assert not is_alive(pid)


async def test_frozen_part_is_stopped_too() -> None:
    lines = Lines()
    supervisor = Supervisor(lines)
    supervisor.add("a", python(SLEEPS), stop_timeout_ms=10_000)
    await supervisor.start()
    await lines.wait_for("a", "up")
    os.kill(supervisor.pids["a"], signal.SIGSTOP)
    start = time.monotonic()
    await supervisor.stop()
    assert time.monotonic() - start < 5


async def test_ready_when_the_address_answers_200() -> None:
    port = free_port()
    server = (
        "import http.server, os, time\n"
        "class Answer(http.server.BaseHTTPRequestHandler):\n"
        "    count = 0\n"
        "    def do_GET(self):\n"
        "        Answer.count += 1\n"
        "        self.send_response(200 if Answer.count > 2 and self.path == '/health/ready' else 503)\n"
        "        self.send_header('Uptake-Pid', str(os.getpid()))\n"
        "        self.end_headers()\n"
        f"http.server.HTTPServer(('127.0.0.1', {port}), Answer).serve_forever()\n"
    )
    lines = Lines()
    supervisor = Supervisor(lines)
    supervisor.add("a", python(server), ready_url=f"http://127.0.0.1:{port}/health/ready")
    try:
        await supervisor.start()
        await supervisor.wait_ready(20_000)
    finally:
        await supervisor.stop()
    assert sum("503" in line for _, line in lines.seen) == 2


async def test_foreign_server_on_the_port_of_a_part_does_not_make_it_ready() -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            asked.set()

        def log_message(self, *_: object) -> None:
            pass

    asked = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as foreign:
        serving = threading.Thread(target=foreign.serve_forever)
        serving.start()
        supervisor = Supervisor(Lines())
        supervisor.add("a", python(SLEEPS), ready_url=f"http://127.0.0.1:{foreign.server_port}/health/ready")
        try:
            await supervisor.start()
            with pytest.raises(NotReadyError, match=r"a: "):
                await supervisor.wait_ready(1_000)
            assert asked.is_set()
        finally:
            await supervisor.stop()
            foreign.shutdown()
            serving.join()


async def test_part_that_never_gets_ready_is_named_with_its_last_words() -> None:
    supervisor = Supervisor(Lines(), first_pause_s=30)
    supervisor.add("a", python("print('no such table')"), ready_url=f"http://127.0.0.1:{free_port()}/")
    try:
        await supervisor.start()
        with pytest.raises(NotReadyError, match=r"a: no such table"):
            await supervisor.wait_ready(1_000)
    finally:
        await supervisor.stop()


async def test_long_and_unended_lines_are_kept() -> None:
    lines = Lines()
    supervisor = Supervisor(lines, first_pause_s=30)
    supervisor.add("a", python("import sys; sys.stdout.write('x' * 200_000 + '\\n' + 'rest')"))
    try:
        await supervisor.start()
        await lines.wait_for("a", "rest")
    finally:
        await supervisor.stop()
    assert "".join(line for _, line in lines.seen) == "x" * 200_000 + "rest"


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_that_meets_the_end_of_the_output_is_not_lost(turns: int) -> None:
    loop = asyncio.get_running_loop()
    watcher: asyncio.Task[None] | None = None

    def cancel(after: int) -> None:
        assert watcher is not None
        if after:
            loop.call_soon(cancel, after - 1)
        else:
            watcher.cancel()

    part = CommandPart("a", python("print('bye')"), None, None, 1, 1_000, lambda _name, _line: cancel(turns))

    async def watch() -> None:
        while True:
            await part.finish()
            await asyncio.sleep(0)

    await part.launch()
    os.waitid(os.P_PID, part.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop must not run, and the output must stay unread
    watcher = asyncio.create_task(watch())
    done, _ = await asyncio.wait([watcher], timeout=5)
    if not done:
        watcher.cancel()
    assert done


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of a killed owner")
def test_no_orphan_when_the_supervisor_is_killed_9() -> None:
    owner = (
        "import asyncio, sys\n"
        "from app.local.supervisor import Supervisor\n"
        "async def main():\n"
        "    supervisor = Supervisor()\n"
        f"    supervisor.add('a', [sys.executable, '-c', {STUBBORN!r}])\n"
        "    await supervisor.start()\n"
        "    print('pid', supervisor.pids['a'], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(python(owner), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        pid = int(line.removeprefix("pid "))
        assert is_alive(pid)
        process.kill()
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_lines_are_printed_with_the_name_of_their_part() -> None:
    stream = io.StringIO()
    printer = LinePrinter(stream)
    printer("kafka", "ready")
    printer("worker-0", "ready")
    assert stream.getvalue() == "kafka     | ready\nworker-0  | ready\n"
