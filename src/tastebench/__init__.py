"""Tastebench: what is a foundation model worth to your recommender, in which role, at what cost?"""

__version__ = "0.1.0"
