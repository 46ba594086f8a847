"""A broker that clients may reach by a proxy."""

from app.local.broker import LocalBroker
from app.local.tcp_ports import free_port
from tests.conftest import BrokerFactory


def broker_with_a_second_listener(make: BrokerFactory, behind: int, front: int) -> LocalBroker:
    """Return a broker whose second listener, on the port ``behind``, tells its clients to come by the port ``front``."""
    own, controller = (f"127.0.0.1:{free_port('127.0.0.1')}" for _ in range(2))
    return make(
        port=int(own.rpartition(":")[2]),
        properties={
            "listeners": f"PLAINTEXT://{own},LINK://127.0.0.1:{behind},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{own},LINK://127.0.0.1:{front}",
            "controller.quorum.voters": f"1@{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT,CONTROLLER:PLAINTEXT",
        },
    )
