"""Environment variables: an unknown one of ours is an error with the nearest name, those of Kubernetes are recognised."""

import inspect
import pkgutil
import re

import pytest

import app.commands
from app.base.errors import UptakeError
from app.base.variables import known_variables, refuse_unknown_variables


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("UPTAKE_PARTITION", "UPTAKE_PARTITIONS"),
        ("UPTAKE_LICENCE_KEY", "UPTAKE_LICENSE_KEY"),
        ("uptake_hots", "UPTAKE_HOST"),
        ("UPTAKE_HEARTBEATS_MS", "UPTAKE_HEARTBEAT_MS"),
    ],
)
def test_unknown_variable_is_an_error_with_the_nearest_name(given: str, meant: str) -> None:
    with pytest.raises(
        UptakeError, match=f"variable {given} is no setting of Uptake; did you mean {meant}\\?"
    ):
        refuse_unknown_variables({given: "16"})


def test_former_setting_is_an_error_that_says_what_took_its_place() -> None:
    with pytest.raises(
        UptakeError, match="UPTAKE_CACHE_ROWS is no setting any more: UPTAKE_CACHE_BYTES alone"
    ):
        refuse_unknown_variables({"UPTAKE_CACHE_ROWS": "1000"})


def test_each_unknown_variable_is_named() -> None:
    with pytest.raises(UptakeError, match=r"(?s)UPTAKE_PARTITION .*UPTAKE_PROT "):
        refuse_unknown_variables({"UPTAKE_PROT": "1", "UPTAKE_PARTITION": "2"})


def test_known_and_foreign_variables_are_no_error() -> None:
    refuse_unknown_variables({**dict.fromkeys(known_variables(), "1"), "uptake_port": "1", "PATH": "/bin"})


def test_every_variable_of_a_command_is_known() -> None:
    found: set[str] = set()
    for module in pkgutil.iter_modules(app.commands.__path__):
        source = inspect.getsource(__import__(f"app.commands.{module.name}", fromlist=["_"]))
        found |= set(re.findall(r'envvar="(UPTAKE_\w+)"', source))
    assert found
    assert found <= set(known_variables())


def test_kubernetes_service_of_our_name_gets_a_sentence_of_its_own() -> None:
    with pytest.raises(
        UptakeError, match=r"by Kubernetes for a service named uptake,.*enableServiceLinks: false"
    ):
        refuse_unknown_variables({"UPTAKE_PORT": "tcp://10.0.0.1:8080"})


def test_other_variables_of_kubernetes_services_mean_nothing() -> None:
    refuse_unknown_variables(
        {
            "UPTAKE_SERVICE_HOST": "10.0.0.1",
            "UPTAKE_SERVICE_PORT": "8080",
            "UPTAKE_SERVICE_PORT_HTTP": "8080",
            "UPTAKE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            "UPTAKE_PORT_8080_TCP_PROTO": "tcp",
            "UPTAKE_PORT_8080_TCP_PORT": "8080",
            "UPTAKE_PORT_8080_TCP_ADDR": "10.0.0.1",
            "UPTAKE_WORKER_PORT": "tcp://10.0.0.2:6067",
        }
    )


def test_port_with_a_typing_error_is_no_variable_of_kubernetes() -> None:
    with pytest.raises(UptakeError, match="UPTAKE_WORKER_PORT"):
        refuse_unknown_variables({"UPTAKE_WORKER_PORT": "6067"})
