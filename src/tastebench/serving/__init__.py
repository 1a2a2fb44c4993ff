"""What was measured, put to use: a record loaded to recommend with, or exported."""
