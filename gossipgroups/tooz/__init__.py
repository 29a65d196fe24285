"""The OpenStack tooz driver `gossip://`: group membership for programs written to tooz, without a server.

Law: everything here is translation. What a method does, the blocking coordinator does; this room adds tooz's
names, its errors, its bytes, and what only tooz has: a partitioner, and leaders.
"""

from __future__ import annotations

from gossipgroups.tooz.driver import GossipDriver

__all__ = ["GossipDriver"]
