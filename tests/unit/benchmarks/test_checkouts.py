"""A checkout is measured with its own code or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.checkouts import ROOT, THIS, Checkout, CheckoutError, Imported, different_versions
from benchmarks.processes import Contestant, running

FILES = {
    "app/__init__.py": "",
    "app/__main__.py": "import app, sys; print('this is', app.__file__, sys.argv[1:], flush=True); input()",
    "app/cli.py": "",
    "app/commands/__init__.py": "",
    "app/commands/worker.py": "",
    "agents/__init__.py": "",
    "tables/__init__.py": "",
    "events/__init__.py": "",
}


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return a checkout with a commit, of a layout that has little in common with ours."""
    root = tmp_path / "other"
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(root.parent, "init", "--quiet", str(root))
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_checkout_is_opened_with_its_commit_and_its_own_code(other: Path) -> None:
    checkout = Checkout.open(other)
    assert checkout.commit == git(other, "rev-parse", "HEAD")
    assert checkout.is_dirty is False
    assert checkout.environment == "the running Python"
    assert checkout.imported is not None
    assert checkout.imported.files["app.commands.worker"] == str(other / "app/commands/worker.py")
    assert checkout.describe()["versions"]["aiokafka"]


def test_this_checkout_can_be_measured_too() -> None:
    checkout = Checkout.open(ROOT)
    assert checkout.imported is not None
    assert checkout.imported.files["app.cli"] == str(ROOT / "app/cli.py")
    assert len(checkout.imported.files) > 150


def test_measured_process_runs_the_code_of_its_checkout(other: Path, tmp_path: Path) -> None:
    # The Python has this checkout installed (editable), so `app` would be found here as well.
    contestant = Contestant("before", ["-m", "app", "worker"], tmp_path, {}, Checkout.open(other))
    with running(contestant):
        contestant.wait_for(("not this", f"this is {other}/app/__init__.py ['worker']"), 20)


def test_environment_names_the_checkout_whatever_the_caller_has(
    other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("UPTAKE_KAFKA", "elsewhere:9092")
    environ = Checkout(other, Path(sys.executable)).environ({"UPTAKE_KAFKA": "here:9092", "A": "b"})
    assert environ["PYTHONPATH"] == str(other)
    assert environ["UPTAKE_KAFKA"] == "here:9092"
    assert environ["A"] == "b"
    assert environ["PATH"] == os.environ["PATH"]


def test_command_is_run_by_the_python_of_the_checkout(other: Path) -> None:
    assert Checkout(other, Path("/its/python")).command(["-m", "app"]) == ["/its/python", "-m", "app"]
    assert THIS.command(["-m", "app"]) == [sys.executable, "-m", "app"]


def test_own_environment_is_taken_if_it_works(other: Path) -> None:
    own = other / ".venv/bin/python"
    own.parent.mkdir(parents=True)
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    checkout = Checkout.open(other)
    assert (checkout.environment, checkout.python) == ("its own .venv", own)
    own.write_text("#!/bin/sh\nexit 1\n")
    checkout = Checkout.open(other)
    assert (checkout.environment, checkout.python) == ("the running Python", Path(sys.executable))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        # `app` extends its path to another directory
        ("app/__init__.py", "__path__.append({elsewhere!r})"),
        # a package of ours that the other one does not have is found in this checkout by the editable installation
        ("app/commands/worker.py", "import app.base.settings"),
    ],
)
def test_module_from_elsewhere_is_refused(other: Path, tmp_path: Path, name: str, content: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "stray.py").touch()
    (other / name).write_text(content.format(elsewhere=str(elsewhere)))
    with pytest.raises(
        CheckoutError, match=r"app\.(stray|base\S*) (is imported from .*, not from the checkout|cannot)"
    ):
        Checkout.open(other)


def test_broken_import_is_refused_with_its_error(other: Path) -> None:
    (other / "agents/__init__.py").write_text("import there_is_no_such_package")
    with pytest.raises(CheckoutError, match=r"agents cannot be imported .*there_is_no_such_package"):
        Checkout.open(other)


def test_file_of_a_sibling_folder_is_not_of_the_checkout() -> None:
    imported = Imported({"app.cli": "/x/worktrees/y/app/cli.py"}, {}, "3.11", {})
    assert imported.complaint(Path("/x")) is not None
    assert imported.complaint(Path("/x/worktrees/y")) is None


def test_path_that_is_no_checkout_is_refused(other: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckoutError, match="is not a directory"):
        Checkout.open(tmp_path / "missing")
    with pytest.raises(CheckoutError, match="is not a git checkout with a commit"):
        Checkout.open(tmp_path)
    with pytest.raises(CheckoutError, match=r"is not the root of a git checkout, .*other is"):
        Checkout.open(other / "app")
    git(other, "rm", "--quiet", "app/__main__.py")
    with pytest.raises(CheckoutError, match="no checkout of Uptake that has `python -m app`"):
        Checkout.open(other)


def test_changes_of_code_are_seen_and_logs_are_not(other: Path) -> None:
    checkout = Checkout.open(other)
    (other / "progress.log").write_text("round 1")
    assert not Checkout.open(other).is_dirty
    checkout.require_unchanged()
    (other / "agents" / "new.py").touch()
    assert Checkout.open(other).is_dirty
    with pytest.raises(CheckoutError, match="changed while it was measured"):
        checkout.require_unchanged()


def test_extensions_are_code_too(other: Path) -> None:
    checkout = Checkout.open(other)
    extension = other / "compiled" / "built" / "module.so"
    extension.parent.mkdir(parents=True)
    extension.write_bytes(b"machine code")
    with pytest.raises(CheckoutError, match="changed while it was measured"):
        checkout.require_unchanged()


def test_versions_that_differ_are_named() -> None:
    one = Imported({}, {}, "3.11.7", {"msgspec": "0.22.0", "uvloop": "0.23.0"})
    other = Imported({}, {}, "3.12.1", {"msgspec": "0.21.0", "uvloop": "0.23.0"})
    assert different_versions(one, one) == {}
    assert different_versions(one, other) == {"python": ("3.11.7", "3.12.1"), "msgspec": ("0.22.0", "0.21.0")}
