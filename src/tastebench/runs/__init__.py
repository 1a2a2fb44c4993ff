"""Runs: from a plan to records on disk, resumed where they were left."""
