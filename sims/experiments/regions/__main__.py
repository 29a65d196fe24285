"""`python -m sims.experiments.regions`."""

from sims.experiments.experiment import main

if __name__ == "__main__":
    main("regions")
