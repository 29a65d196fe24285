"""Hostile peers: strangers at a cluster of real processes, over real sockets.

Law: the attackers know what a stranger can know, the cluster's name or a recording of its traffic, and never
its key. They send to the processes started here, and to nobody else.
"""
