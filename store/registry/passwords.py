"""Passwords of the dashboard: which may be chosen, and how they are kept."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from store.errors import ConfigError

MIN_PASSWORD_LENGTH = 12
"""NIST SP 800-63B asks for 8 at least; patients' data are worth 12."""
LONGEST_PASSWORD = 200
"""Long enough for any phrase; argon2 need not hash a megabyte for a stranger."""
_HARD_ENOUGH, _ESTIMATED_LENGTH = 3, 72
"""Of zxcvbn's 0 to 4: 10^8 guesses and more, each of which argon2 makes slow."""
_WORDS_OF_HERE = ("evenkeel", "clinic", "hospital", "ward", "patient", "psychiatry", "doctor", "nurse")


def new_password() -> str:
    """Return a password that nobody chose: 120 bits."""
    return secrets.token_urlsafe(15)


def check_choice(name: str, password: str) -> None:
    """Require a password that nobody guesses.

    Raises
    ------
    ConfigError
        If it is too short, too long or too common for the user of that name.
    """
    if len(password) < MIN_PASSWORD_LENGTH:
        raise ConfigError(
            f"The password of {name} has {len(password)} characters; needed are {MIN_PASSWORD_LENGTH} or more"
        )
    if _is_easy_to_guess(name, password):
        raise ConfigError(
            f"The password of {name} is easy to guess: a common one, or made of common words, of the name or "
            "the place; needed is a phrase of several words, or one that a machine made"
        )
    if len(password) > LONGEST_PASSWORD:
        raise ConfigError(
            f"The password of {name} has {len(password)} characters; needed are {LONGEST_PASSWORD} at most"
        )


def hash_of(password: str) -> str:
    """Return what is kept of a password."""
    return _hasher().hash(password)


def is_password(held: str | None, password: str) -> bool:
    """Say whether a password is the one of which `held` was kept; takes as long where nothing was."""
    dummy = dummy_hash()  # made at the first attempt of a process, whoever makes it
    try:
        return _hasher().verify(held or dummy, password[:LONGEST_PASSWORD]) and bool(held)
    except (VerificationError, InvalidHashError):
        return False


@cache
def dummy_hash() -> str:
    """Return the hash of a password that nobody knows."""
    return hash_of(secrets.token_urlsafe(16))


def _is_easy_to_guess(name: str, password: str) -> bool:
    """Say whether a password is a common one, or made of words that belong here."""
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its lists of words take a third of a second

    estimate = zxcvbn(password[:_ESTIMATED_LENGTH], user_inputs=[name, *_WORDS_OF_HERE])
    return estimate["score"] < _HARD_ENOUGH


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()
