"""The signal that a request's connection is no longer the server's."""

from __future__ import annotations

import errno


class HandedOver(BrokenPipeError):
    """Raised by the iterator of an answer whose connection another thread writes from now on. To a
    server that does not know it, it is a client that has gone."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the connection was handed over")
