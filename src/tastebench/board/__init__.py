"""Boards: tables computed from records and from nothing else."""

from tastebench.board.board import make_board, read_board
from tastebench.board.model import Board, Column, Mark, Row, Score

__all__ = ["Board", "Column", "Mark", "Row", "Score", "make_board", "read_board"]
