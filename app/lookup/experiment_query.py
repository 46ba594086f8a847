"""Query parameters of lookups of experiments, parsed and checked. An invalid one raises RefusedError with a sentence."""

from dataclasses import dataclass

from app.customers.customer import Customer
from app.customers.declared_experiments import METRICS, Metric
from app.lookup.ctr_query import read_time
from app.lookup.query_params import Params, bad_value, read_flag
from events.money import CURRENCIES
from events.rejections import RefusedError
from tables.ctr.window_sums import step_end
from tables.ctr.windows import GRANULARITY_MS, WINDOW_KEEP_MS


@dataclass(frozen=True, slots=True)
class ExperimentQuery:
    """A checked lookup of one experiment. ``metric`` None: the declared one. ``to_ms`` is a time up to which windows are kept."""

    metric: Metric | None
    currency: str
    from_ms: int | None
    to_ms: int
    has_steps: bool


def read_experiment(params: Params, customer: Customer, now_ms: int) -> ExperimentQuery:
    """Return the lookup that the parameters describe."""
    metric = _metric(params)
    currency = params.take("currency") or customer.rules.currency
    if currency not in CURRENCIES:
        raise bad_value("currency", "takes a code of ISO 4217, as in EUR", currency)
    from_ms, to_ms = (read_time(params, name, customer.rules.time_zone) for name in ("from", "to"))
    to_ms = kept_end(now_ms if to_ms is None else min(to_ms, now_ms), now_ms)
    if from_ms is not None and from_ms >= to_ms:
        raise RefusedError("bad_parameter", "from must be before to, and before now", "from")
    return ExperimentQuery(metric, currency, from_ms, to_ms, read_flag(params, "steps"))


def kept_end(to_ms: int, now_ms: int) -> int:
    """Return the end of the finest window around a time that is still kept: totals are sums of all windows up to a time."""
    for granularity, size_ms in GRANULARITY_MS.items():
        # A window is kept by the receipt of its last event, which is never before its time.
        if to_ms - size_ms > now_ms - WINDOW_KEEP_MS[granularity] or granularity == "day":
            return step_end(to_ms, size_ms)
    raise AssertionError("days are stored")


def _metric(params: Params) -> Metric | None:
    text = params.take("metric")
    for metric in METRICS:
        if text == metric:
            return metric
    if text is not None:
        raise bad_value("metric", f"takes {', '.join(METRICS)}", text)
    return None
