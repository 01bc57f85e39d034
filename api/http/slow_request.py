"""What the server and the application know of each other: a request that came too slowly.

Apart, so that the process that only watches over those that serve loads no application.
"""

from __future__ import annotations


class SlowRequest(Exception):
    """The request took too long to arrive."""
