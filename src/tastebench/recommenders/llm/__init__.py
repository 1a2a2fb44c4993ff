"""Language models as recommenders."""
