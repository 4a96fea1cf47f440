"""The report: one evaluation as one HTML file that opens from disk."""

from lookcloser.report.page import write_report

__all__ = ["write_report"]
