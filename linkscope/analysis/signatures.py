"""The packs of signatures that count in one run: the user's own store, and what LinkScope brings along."""

from __future__ import annotations

import errno
import os

from linkscope.contents.matcher import Packs
from linkscope.contents.packs import SHIPPED, Store, default_store
from linkscope.errors import StoreUnusable


def packs(store: str | None = None, shipped: bool = True) -> Packs[Store]:
    """The user's own first. store: its path, if it is not where it usually is. Nothing is read yet, and
    what is read and made of it lives as long as what comes back.

    Raises StoreUnusable for a store that was named and is not there.
    """
    path = store or default_store(os.environ)
    if store and not os.path.lexists(path):
        raise StoreUnusable(path, os.strerror(errno.ENOENT).lower())
    own = [Store(path)] if os.path.lexists(path) else []
    return Packs([*own, *([Store(SHIPPED, fixed=True)] if shipped else [])])
