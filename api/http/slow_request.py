"""The error of a request that arrives too slowly.

It has its own module because both the server and the application use it, and gunicorn's main
process must not load the application.
"""

from __future__ import annotations


class SlowRequest(Exception):
    """The request took too long to arrive."""
