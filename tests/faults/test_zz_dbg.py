import os, time, signal
import pytest
from contextlib import ExitStack
from tests.faults import test_links as tl
from tests.support.tcp_proxy import Link
STEPS = [(Link.CUT, 20), (Link.HALF_OPEN, 20), (Link.HALF_OPEN, 60), (Link.BLACK_HOLE, 60), (Link.BLACK_HOLE, 10), (None, 20), (Link.THIN, 20), (Link.SLOW, 15)]
@pytest.mark.timeout(900)
def test_dbg(broker_factory, tmp_path):
    with ExitStack() as stack:
        system = tl.System(stack, broker_factory, tmp_path)
        system.cluster.program = "dbgapp"
        system.start()
        link = os.environ.get("LINK", "worker-broker")
        for mode, secs in STEPS:
            with system.links.broken(link, mode):
                time.sleep(secs)
            t0 = time.monotonic(); dumped = False
            print("HEALED", mode, secs, time.strftime("%H:%M:%S"), flush=True)
            while not system._is_well() and time.monotonic() - t0 < 90:
                time.sleep(0.2)
                if time.monotonic() - t0 > 13 and not dumped:
                    dumped = True
                    print("DUMP", time.strftime("%H:%M:%S"), flush=True)
                    for w in system.cluster.workers.values(): os.kill(w.pid, signal.SIGURG)
            print("WELL after", time.monotonic() - t0, flush=True)
            for n in ("w0", "w1"):
                open(f"/tmp/i9l/{n}.log", "w").write(system.cluster.log(n))
        print(system.reader.counts, system.reader.odd[:3])
