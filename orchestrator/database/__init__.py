"""The tables, and the only SQL of the product.

Importing any module of it raises `PartMissing` where psycopg2 is not installed: the base asks for
neither of its two distributions, since a project that has one can't install the other beside it.
"""

from orchestrator.extras import optional_imports

with optional_imports():
    import psycopg2  # noqa: F401
