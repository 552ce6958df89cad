"""Encryption of what identifies a person, with keys that only the environment holds."""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import sqlalchemy as sa
from sqlalchemy import Connection

from store.errors import ConfigError
from store.registry import schema

KEY_VARIABLE, KEY_FILE_VARIABLE = "EVENKEEL_REGISTRY_KEY", "EVENKEEL_REGISTRY_KEY_FILE"
KEY_BYTES, _NONCE_BYTES = 32, 12
_HOW = f"make one with: openssl rand -base64 {KEY_BYTES}"


class Sealed(NamedTuple):
    """A text at rest; `key_id` is None where it is readable."""

    text: str
    key_id: str | None


class Seals:
    """The keys of a registry: the first one seals, every one opens (AES-256-GCM).

    Each text is bound to the row it belongs to, so that one person's name cannot be put on another.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._keys = {_key_id(key): key for key in keys}

    @classmethod
    def from_environment(cls) -> Self:
        """Read the keys, one a line and the newest first; there need not be any.

        Raises
        ------
        ConfigError
            If a key cannot be read or is none. A key is never part of the message.
        """
        text, where = os.environ.get(KEY_VARIABLE, ""), KEY_VARIABLE
        if not text and (path := os.environ.get(KEY_FILE_VARIABLE)):
            where = f"{KEY_FILE_VARIABLE} ({path})"
            try:
                text = Path(path).read_text(encoding="ascii")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{where} cannot be read ({type(error).__name__}); {_HOW}") from None
            if not text.strip():
                raise ConfigError(f"{where} holds no key; {_HOW}")
        return cls([_decoded(each, where) for each in text.split()])

    @property
    def key_id(self) -> str | None:
        """Which key seals; None if there is none and texts stay readable."""
        return next(iter(self._keys), None)

    def seal(self, text: str, about: str) -> Sealed:
        """Return a text as it is to be kept; `about` names the row."""
        if self.key_id is None or not text:
            return Sealed(text, None)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        held = _cipher(self._keys[self.key_id]).encrypt(nonce, text.encode(), about.encode())
        return Sealed(base64.b64encode(nonce + held).decode(), self.key_id)

    def open(self, sealed: Sealed, about: str) -> str:
        """Return the text; empty for a process that was given no key at all, and so is not to read it.

        Raises
        ------
        ConfigError
            If the keys are others than the one it was sealed with, or it was altered.
        """
        if sealed.key_id is None:
            return sealed.text
        if not self._keys:
            return ""
        if sealed.key_id not in self._keys:
            raise ConfigError(
                f"Names are encrypted with key {sealed.key_id}, and {KEY_VARIABLE} holds "
                f"{', '.join(self._keys)}; needed is the key they were encrypted with, after the newest"
            )
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - encryption is an extra

        raw = base64.b64decode(sealed.text)
        try:
            cipher = _cipher(self._keys[sealed.key_id])
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode()).decode()
        except InvalidTag:
            raise ConfigError(
                f"What the registry holds of {about} was altered; restore it from a backup"
            ) from None


def about_subject(subject_id: str) -> str:
    """Name the row of a subject."""
    return f"subject {subject_id}"


def about_annotation(subject_id: str) -> str:
    """Name the rows of a subject's annotations."""
    return f"annotation {subject_id}"


def reseal(connection: Connection, seals: Seals) -> int:
    """Seal every text that the newest key does not seal yet with it; return how many those were.

    Raises
    ------
    ConfigError
        If there is no key, or one is missing that a text was sealed with.
    """
    if seals.key_id is None:
        raise ConfigError(f"No key to encrypt with; {_HOW}, and put it in {KEY_VARIABLE} or a file")
    s, a = schema.subject, schema.annotation
    columns = (
        (s.c.subject_id, s.c.subject_id, s.c.display_name, s.c.name_key_id, about_subject),
        (a.c.annotation_id, a.c.subject_id, a.c.text, a.c.text_key_id, about_annotation),
    )
    changed = 0
    for row_id, subject_id, text, key_id, about in columns:
        query = sa.select(row_id, subject_id, text, key_id).where(text != "")
        for number, who, held, held_by in connection.execute(query).all():
            if held_by == seals.key_id:
                continue
            fresh = seals.seal(seals.open(Sealed(held, held_by), about(who)), about(who))
            values = {text.name: fresh.text, key_id.name: fresh.key_id}
            connection.execute(sa.update(row_id.table).where(row_id == number).values(values))
            changed += 1
    return changed


def is_sealed(connection: Connection) -> bool:
    """Say whether any text is encrypted."""
    columns = (schema.subject.c.name_key_id, schema.annotation.c.text_key_id)
    return any(
        connection.execute(sa.select(column).where(column.is_not(None)).limit(1)).first() is not None
        for column in columns
    )


def refuse_readable(connection: Connection, seals: Seals) -> None:
    """Raise ConfigError if there is no key here and the registry's texts are encrypted."""
    if seals.key_id is None and is_sealed(connection):
        raise ConfigError(
            f"Names are encrypted in this registry, and there is no key here; set {KEY_VARIABLE} or "
            f"{KEY_FILE_VARIABLE}, so that none is written readable"
        )


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"evenkeel registry key" + key).hexdigest()[:8]


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{where} holds a key that is not base64; {_HOW}") from None
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{where} holds a key of {len(key)} bytes; needed are {KEY_BYTES}: {_HOW}")
    return key


def _cipher(key: bytes):  # noqa: ANN202 - its type is known only where the extra is installed
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigError("Encrypted names need: pip install 'evenkeel[encryption]'") from None
    return AESGCM(key)
