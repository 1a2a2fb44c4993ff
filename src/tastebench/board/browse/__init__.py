"""A results folder in a browser: its runs, their cards, and single users; read-only, local."""
