"""Collaborative filtering: sets of items per user, learned from text or ids."""
