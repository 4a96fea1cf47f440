"""Classes that are right for the wrong reason, found without any box."""

from lookcloser.auditing.run import audit

__all__ = ["audit"]
