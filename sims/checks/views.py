"""Views: what a node shows of a group is what its maps say.

Law: view(g) = { member : its presence has capabilities, carries g's current odd epoch, and its node is
live }, computed anew for each group that a change may have touched.
"""

from __future__ import annotations

from collections.abc import Iterable

from sims.checks.broken import Broken
from sims.checks.holdings import view_of
from sims.engine import Process


def check_views(process: Process, groups: Iterable[str]) -> None:
    """Hold the views that a node shows against its maps."""
    state = process.node.state
    for group in groups:
        view = view_of(state.replica, group)
        shown = state.views[group]
        if dict(shown) != view:
            raise Broken(
                "view", f"{process.name} shows {sorted(shown)} in {group}, its maps say {sorted(view)}"
            )
