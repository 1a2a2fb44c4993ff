"""Raw files to one canonical `Dataset`: tables, preparation, splits, texts, sources, the shop."""
