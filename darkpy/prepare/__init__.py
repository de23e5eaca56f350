"""Data sets made or changed before a training."""
