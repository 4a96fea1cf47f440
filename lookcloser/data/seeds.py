"""Seeds for what is random, made from what it belongs to."""

from __future__ import annotations

import hashlib


def mixed_seed(*parts: int) -> int:
    """One 63-bit seed from several integers; near inputs give unrelated seeds."""
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
