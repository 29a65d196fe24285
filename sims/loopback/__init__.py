"""The loopback benchmark: real coordinators over real sockets of one machine, `python -m sims.loopback`.

Law: coordinators are used through the public API only, as an application would; every wait is bounded; every
figure says in `docs/benchmarks.md` from where to where it was taken.
"""
