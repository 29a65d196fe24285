"""The promises, checked from outside while a simulation runs: nothing here asks the library's own rules.

Law: `Checks` is a watcher; it looks at what nodes hold and tell after every call, raises `Broken` at the
first breach, and changes nothing. Views are computed anew from the three maps.

    holdings.py   what each node holds, and what it has held before
    statuses.py   incarnations and statuses only move forward, and only the subject raises its own
    forward.py    epochs and presences only move forward; what has one rank has one content
    views.py      view ⊆ live ∧ present: the view that a node shows is that of its maps
    settled.py    truth, order and agreement of settled views
    reports.py    events: alternation, their sum, and the truth of what is told as converged
    outcomes.py   each operation is refused once, or applied once and then done once
    admitted.py   each datagram is taken in once at most, by whom it was sent to; the rest changes nothing
    answered.py   a stranger is sent no more bytes than it sent
    outsiders.py  who keeps no rules, to whom nothing is promised
    limits.py     queues, tombstones, buffers and memory within their limits
    rest.py       what is missing to rest, and how long rest may take
"""

from sims.checks.broken import Broken
from sims.checks.checks import Checks
from sims.checks.rest import missing, rest_seconds

__all__ = ["Broken", "Checks", "missing", "rest_seconds"]
