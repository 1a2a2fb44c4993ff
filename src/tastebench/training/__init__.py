"""Training: one short loop, its batches and losses, and state that can be resumed exactly.

Importing this package or `tastebench.training.settings` loads no torch; the other modules do.
"""
