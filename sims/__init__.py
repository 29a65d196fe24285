"""Measurements and simulations. Not part of the installed package."""
