"""What the folds need of a partition's tables, by Protocol; agents/overlay.py has them."""

from typing import Final, Protocol, TypeVar

from tables.ctr.panes import Tally
from tables.user import basket, clicked, consumed, playback, preferences, purchases, recommended, rendered
from tables.user.identity import IdentityState, Transfer
from tables.user.impressions import ImpressionsState

_S = TypeVar("_S")

MOVED: Final = b"\0moved"
"""Suffix of the row that keeps what a login moved on: the source's own lookups still see it, and it is never sent again.

No user key holds a NUL, so no two rows share a key.
"""


class TableRows(Protocol[_S]):
    """The rows of one table."""

    def get(self, key: bytes) -> _S | None: ...

    def put(self, key: bytes, state: _S | None) -> None: ...


class Tables(Protocol):
    """Every table of a partition, the tally of its panes, and the way out for transfers."""

    @property
    def tally(self) -> Tally: ...

    @property
    def rendered(self) -> TableRows[rendered.RenderedState]: ...
    @property
    def impressions(self) -> TableRows[ImpressionsState]: ...
    @property
    def clicked(self) -> TableRows[clicked.ClickedState]: ...
    @property
    def consumed(self) -> TableRows[consumed.ConsumedState]: ...
    @property
    def playback(self) -> TableRows[playback.PlaybackState]: ...
    @property
    def basket(self) -> TableRows[basket.BasketState]: ...
    @property
    def purchases(self) -> TableRows[purchases.PurchasesState]: ...
    @property
    def preferences(self) -> TableRows[preferences.PreferencesState]: ...
    @property
    def identity(self) -> TableRows[IdentityState]: ...
    @property
    def recommended(self) -> TableRows[recommended.RecommendedState]: ...
    @property
    def seen(self) -> TableRows[int]: ...

    def transfer(self, transfer: Transfer) -> None: ...
