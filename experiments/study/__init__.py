"""Candidates, their tuning and training, and the log of their runs."""
