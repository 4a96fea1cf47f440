"""One audit -> one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lookcloser.core.results.audit import Audit
from lookcloser.core.storage.atomic import write_text
from lookcloser.report.audit_blocks import audit_blocks
from lookcloser.report.sources import environment, source
from lookcloser.version import __version__

STYLES = ("base.css", "report.css", "audit.css")


def write_audit(
    path: str | Path, audit: Audit, *, about: Mapping[str, str] | None = None, title: str = "Audit"
) -> Path:
    """Write an audit as one self-contained HTML file.

    Flagged classes, or the most suspicious ones, come with images: the mean of their images
    with the place in question, their mean evidence, and a typical crop for each kind of place that
    the class is recognized by. All classes are in a table. The page has no script and asks for
    nothing outside it; the same input gives the same bytes.

    Args:
        path: The file to write; written atomically, folders made.
        audit: What was found. Images are read again for the crops; those that are gone are left
            out.
        about: Method, backbone, data, versions, in the order to show them.
        title: Heading of the page.

    Returns:
        ``path``.

    Raises:
        LookcloserError: If the file cannot be written.
    """
    context = {
        "title": title,
        "version": __version__,
        "style": source(*STYLES),
        "audited": audit_blocks(audit),
        "about": about or {},
    }
    path = Path(path)
    page = environment().get_template("audit.html.j2").render(context)
    # A file name that is not valid UTF-8 must not cost the page.
    write_text(path, page.encode(errors="replace").decode())
    return path
