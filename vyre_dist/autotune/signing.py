"""Signs records for a shared store, so that nobody without the key can plant one.

A signed record is a mark, an HMAC-SHA-256 and the record's own bytes. It is checked over these very
bytes, so that fields that a version does not know are signed too.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping

from vyre_dist.autotune.codec import InvalidRecordError
from vyre_dist.secret_key import SecretKey

KEY_VARIABLE = "VYRE_DIST_STORE_KEY"
KEY_FILE_VARIABLE = "VYRE_DIST_STORE_KEY_FILE"
# no msgpack begins with its first byte
_MARK = b"\xc1vyre1"
_MAC_BYTES = 32
SEAL_BYTES = len(_MARK) + _MAC_BYTES
_LABEL = b"vyre-dist: an autotune record\0"


class UnsignedError(InvalidRecordError):
    """A record without a signature, where there has to be one."""


class ForgedError(InvalidRecordError):
    """A record whose signature is not that of our key."""


def key_from(environment: Mapping[str, str] = os.environ) -> SecretKey | None:
    """The key that the environment names, by its file or itself; None: none.

    Raises SecretKeyError for one that can't be used.
    """
    path = environment.get(KEY_FILE_VARIABLE)
    if path:
        return SecretKey.load(path)
    text = environment.get(KEY_VARIABLE)
    return SecretKey(text.encode("utf-8", "surrogateescape"), KEY_VARIABLE) if text else None


def sealed(payload: bytes, key: SecretKey | None) -> bytes:
    """`payload` with its signature; without a key as it is."""
    return payload if key is None else _MARK + _mac(payload, key) + payload


def is_sealed(data: bytes) -> bool:
    return data.startswith(_MARK)


def unsealed(data: bytes, key: SecretKey | None) -> bytes:
    """The record's bytes in `data`.

    With a key, raises UnsignedError and ForgedError. Without one nothing can be checked, and
    signatures are passed over.
    """
    if not is_sealed(data):
        if key is not None:
            raise UnsignedError("it is not signed")
        return data
    mac, payload = data[len(_MARK) : SEAL_BYTES], data[SEAL_BYTES:]
    if key is not None and not hmac.compare_digest(mac, _mac(payload, key)):
        raise ForgedError("its signature is not that of this key")
    return payload


def _mac(payload: bytes, key: SecretKey) -> bytes:
    return bytes.fromhex(key.secret_id(_LABEL + payload))
