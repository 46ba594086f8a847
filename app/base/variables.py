"""Names of environment variables: which ones a command reads, and what is wrong with the others."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from app.base.errors import UptakeError
from app.base.settings import Settings
from compiled.finder import PURE_VARIABLE

_PREFIX: Final = "UPTAKE_"
_COMMAND_VARIABLES: Final = ("UPTAKE_URL", "UPTAKE_LICENSE_KEY", "UPTAKE_API_KEY", PURE_VARIABLE)
"""Variables that only single commands read, or that are read before the settings; every other variable is a setting."""
_FORMER: Final = {
    "UPTAKE_CACHE_ROWS": "UPTAKE_CACHE_BYTES alone bounds the rows that a worker keeps in memory"
}
"""Settings that are gone, and what took their place."""
# Kubernetes sets such variables in each container of a namespace for each service there.
_SERVICE_VALUE: Final = re.compile(r"(tcp|udp|sctp)://")
_SERVICE_NAME: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def known_variables() -> tuple[str, ...]:
    """Return the names of all variables that some command reads."""
    return (*(f"{_PREFIX}{name.upper()}" for name in Settings.model_fields), *_COMMAND_VARIABLES)


def refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """Raise UptakeError if a variable looks like ours and no command reads it: a typing error would change nothing."""
    problems = list(_problems(environ))
    if problems:
        raise UptakeError("; ".join(problems))


def _problems(environ: Mapping[str, str]) -> Iterator[str]:
    # Settings are read in any case, as in uptake_port.
    given = {name: value for name, value in environ.items() if name.upper().startswith(_PREFIX)}
    known = known_variables()
    for name, value in sorted(given.items()):
        is_link = _SERVICE_VALUE.match(value) is not None
        if name.upper() in known:
            if is_link and name.endswith("_PORT"):
                yield _of_kubernetes(name, value)
        elif name.upper() in _FORMER:
            yield f"the environment variable {name} is no setting any more: {_FORMER[name.upper()]}. Unset it"
        elif not (is_link or _SERVICE_NAME.fullmatch(name)):
            yield _unknown(name, known)


def _of_kubernetes(name: str, value: str) -> str:
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    return (
        f"{name}={value} was set by Kubernetes for a service named {service}, and {name} is a setting of Uptake: "
        f"put enableServiceLinks: false into the pod's spec, or rename the service"
    )


def _unknown(name: str, known: tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
    return f"the environment variable {name} is no setting of Uptake; did you mean {nearest[0]}? Correct or unset it"
