"""Classes that are right for the wrong reason, found without any box."""

from lookcloser.auditing.run import audit, audited_samples

__all__ = ["audit", "audited_samples"]
