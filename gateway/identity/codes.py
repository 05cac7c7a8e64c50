"""One-time codes of a device (TOTP, RFC 6238: six digits, every 30 seconds)."""

from typing import Final

import pyotp

from gateway.identity.records import Account

ISSUER: Final = "Sightline"
_SECONDS: Final = 30
#: Codes of so many steps before and after count too: a device's clock may be off a little.
_STEPS: Final = 1


def new_code_secret() -> str:
    """A secret to be shared with a device, in base 32."""
    return pyotp.random_base32()


def address(account: Account, secret: str) -> str:
    """The `otpauth://` address that a device reads, as text or as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account.name, issuer_name=ISSUER)


def step_of(secret: str, code: str, at: float, *, after: int = 0) -> int | None:
    """Which 30 seconds this code belongs to; None where it is not right.

    Args:
        secret: what the device shares with us.
        code: six digits; spaces in it are left out.
        at: now, in seconds since 1970.
        after: codes up to this step were used and count no more.
    """
    digits = "".join(code.split())
    if len(digits) != 6 or not digits.isascii() or not digits.isdecimal():
        return None
    codes = pyotp.TOTP(secret, interval=_SECONDS)
    now = int(at) // _SECONDS
    for step in range(now - _STEPS, now + _STEPS + 1):
        # pyotp compares in constant time.
        if step > after and pyotp.utils.strings_equal(codes.at(step * _SECONDS), digits):
            return step
    return None
