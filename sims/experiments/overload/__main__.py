"""`python -m sims.experiments.overload`."""

from sims.experiments.experiment import main

if __name__ == "__main__":
    main("overload")
