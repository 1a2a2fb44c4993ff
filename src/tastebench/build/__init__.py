"""Artefacts made with a model, each with what it was made from: queries and semantic ids.

Importing this package loads nothing else.
"""
