"""Watchers that measure, what experiments count: each once.

cluster.py     the way to a running cluster
traffic.py     bytes sent and received by each process, second by second
crossings.py   what is sent, and how much of it from one region to another
membership.py  cluster sizes that nodes show, live sets that they settle
accused.py     who was suspected, or held dead, though it ran
leaves.py      which members were told to have left, to whom, and when
crashes.py     one crash: how long until its witnesses told it
removals.py    who held whom dead, when, and who came back
settling.py    one change: who has learnt it, who was told of it, and who would have guessed so
changes.py     many changes to one group: how long each took, and how it was told
rows.py        reading what was counted
"""
