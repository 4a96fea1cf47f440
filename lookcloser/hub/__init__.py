"""Models of the Hugging Face hub: fetched, checked before they are, and sent with a model card."""

from lookcloser.hub.address import HubAddress, check_repository, is_hub, parse_address
from lookcloser.hub.download import LARGEST_DOWNLOAD, fetch, fetched

__all__ = [
    "LARGEST_DOWNLOAD",
    "HubAddress",
    "check_repository",
    "fetch",
    "fetched",
    "is_hub",
    "parse_address",
]
