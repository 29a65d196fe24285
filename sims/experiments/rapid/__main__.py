"""`python -m sims.experiments.rapid`."""

from sims.experiments.experiment import main

if __name__ == "__main__":
    main("rapid")
