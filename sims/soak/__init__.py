"""The soak: a cluster that is kept busy for long, and whether anything grows.

growth.py   the last third of a run against the middle third
graph.py    all tables of a node by their names, and its size
weather.py  what happens to the virtual cluster
virtual.py  a day of eight nodes in virtual time
real.py     five real processes, for minutes
"""
