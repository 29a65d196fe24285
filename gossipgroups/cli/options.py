"""What the commands share of their options.

Law: an option of one name means the same everywhere.
"""

from __future__ import annotations

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
