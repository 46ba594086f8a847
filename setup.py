"""Adds the compiled modules to a wheel where they can be built. Elsewhere the wheel is pure; pyproject.toml has all the rest."""

import shutil
import sys
from functools import cache
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build backend does not run in its own directory's name

from compiled.build import build  # noqa: E402
from compiled.manifest import Manifest, built_directory  # noqa: E402


@cache
def built() -> Manifest:
    """Build the extension modules in the checkout, once."""
    return build(ROOT)


class CompiledDistribution(Distribution):
    """A distribution whose wheel names a platform only if it holds extension modules."""

    def has_ext_modules(self) -> bool:
        """Tell whether the modules could be compiled. An editable installation leaves that to `make compiled`."""
        is_editable = self.get_command_obj("editable_wheel", create=False) is not None
        return not is_editable and bool(built().modules)


class BuildWithExtensions(build_py):
    """Copies the extension modules into a wheel. An editable installation finds them in the checkout."""

    def run(self) -> None:
        """Copy the Python modules, then the extensions and their manifest."""
        super().run()
        if self.editable_mode:
            return
        goal = built_directory(Path(self.build_lib).resolve())
        shutil.rmtree(goal.parent, ignore_errors=True)
        manifest = built()
        if manifest.modules:
            goal.mkdir(parents=True)
            manifest.write(goal)
            for file in manifest.files(built_directory(ROOT)).values():
                shutil.copy2(file, goal)


setup(distclass=CompiledDistribution, cmdclass={"build_py": BuildWithExtensions})
