"""Create every table, index and sequence, and the function on which an index is built.

All other functions are files in ``schema/functions``: see `function_installer`.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    # The driver reads a percent sign as the beginning of a parameter, so double it.
    op.get_bind().exec_driver_sql(script.replace("%", "%%"))
