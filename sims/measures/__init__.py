"""Watchers that measure: what experiments count, each once.

traffic.py     bytes sent and received by each process, second by second
membership.py  cluster sizes that nodes show, live sets that they settle
removals.py    who held whom dead, when, and who came back
settling.py    one change: who has learnt it, who was told of it, and who would have guessed so
"""
