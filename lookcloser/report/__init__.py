"""The reports: an evaluation or an audit as one HTML file that opens from disk."""

from lookcloser.report.audit_page import write_audit
from lookcloser.report.page import write_report

__all__ = ["write_audit", "write_report"]
