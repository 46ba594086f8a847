"""Check of the compiled core, for `uptake doctor`."""

from app.local.check import Check
from compiled.finder import Core


def check_core(core: Core) -> Check:
    """Say which modules run compiled. Without any, warn, and say why and what to do."""
    return Check("compiled", "ok" if core.modules else "warn", core.finding, core.cure)
