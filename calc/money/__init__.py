"""Prices of a day, what an hour of a machine costs, and what tokens cost of it."""
