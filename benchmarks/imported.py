"""Reports which files a Python imports our packages from, as one line of JSON: ``python -P imported.py DISTRIBUTION...``.

It uses only the standard library, because the Python may be that of another checkout. It imports every module, including those that
our commands import late. So a module that comes from elsewhere is found before anything is measured.
"""

import importlib
import importlib.metadata
import json
import pkgutil
import platform
import sys
from collections.abc import Sequence

PACKAGES = ("app", "agents", "tables", "events")


def import_all(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Import every module of the packages; return the error of each module that fails."""
    failed: dict[str, str] = {}
    for package in packages:
        try:
            found = importlib.import_module(package)
        except Exception as error:  # noqa: BLE001 - an import may raise anything, and all of it is reported
            failed[package] = f"{type(error).__name__}: {error}"
            continue
        for module in pkgutil.walk_packages(found.__path__, f"{package}.", onerror=lambda _name: None):
            if module.name.endswith(".__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except Exception as error:  # noqa: BLE001 - as above
                failed[module.name] = f"{type(error).__name__}: {error}"
    return failed


def files_of(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the file of each module that is loaded from the packages."""
    loaded = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}
    return {name: file for name, module in loaded.items() if (file := getattr(module, "__file__", None))}


def versions_of(distributions: Sequence[str]) -> dict[str, str | None]:
    """Return the version of each distribution, or None for one that is not installed."""
    versions: dict[str, str | None] = {}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


if __name__ == "__main__":
    problems = import_all()
    told = {
        "failed": problems,
        "files": files_of(),
        "python": platform.python_version(),
        "versions": versions_of(sys.argv[1:]),
    }
    print("\n" + json.dumps(told))
