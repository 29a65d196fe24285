"""Hostile input, made by the million: `python -m sims.fuzz`.

corpus.py   payloads of real traffic
makers.py   kinds of input: raw bytes, damaged traffic, messages made by the grammar
target.py   a node that takes them in, and what must hold after each
guided.py   the same target, driven by what the code covers (atheris)
"""
