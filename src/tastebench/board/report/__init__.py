"""The board as a page: one file that is opened, understood, trusted and passed on."""

from tastebench.board.report.model import Options, make_report
from tastebench.board.report.page import to_html, write_report
from tastebench.board.report.read import read_records

__all__ = ["Options", "make_report", "read_records", "to_html", "write_report"]
