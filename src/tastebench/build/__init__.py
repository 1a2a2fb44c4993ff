"""Artefacts made with a language model, each with what it was made from and what it cost.

Importing this package loads nothing else.
"""
