"""Classes that are right for the wrong reason, found without any box."""

from lookcloser.recognizer.auditing.run import audit

__all__ = ["audit"]
