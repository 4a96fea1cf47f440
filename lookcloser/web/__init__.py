"""The page of a model: in a folder that answers in the browser, or before a server."""

from lookcloser.web.folder import WebFolder, check_folder, write_folder
from lookcloser.web.ort import OrtWeb, find_runtime
from lookcloser.web.page import Asset, server_page

__all__ = [
    "Asset",
    "OrtWeb",
    "WebFolder",
    "check_folder",
    "find_runtime",
    "server_page",
    "write_folder",
]
