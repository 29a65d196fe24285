"""The command line: `gossipgroups`, and the same as `python -m gossipgroups.cli`.

Law: importing this package needs neither click nor rich, so that `main` can say what to install.
"""

from __future__ import annotations

import sys

EXTRA = ("click", "rich")
"""What the extra `cli` brings."""


def main() -> None:
    """Run the command line on `sys.argv`. Exits with status 2 when the extra `cli` is not installed."""
    try:
        from gossipgroups.cli.commands import gossipgroups  # noqa: PLC0415  (it needs the extra)

        gossipgroups(prog_name="gossipgroups")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        print(
            f"the command line needs {missing}, which is not there; "
            "install it with: pip install 'gossipgroups[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
