"""Which passwords may be used."""

import asyncio

import pytest
from argon2 import PasswordHasher

from gateway.identity.passwords import MAX_CHARACTERS, Passwords, check_password
from gateway.identity.refusals import PasswordRefused, TooManySignIns


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x" * 11,
        "a quiet meadow" + "w" * MAX_CHARACTERS,
        "password1234",
        "PassWord1234",
        "qwertyuiop123",
        "correct horse battery staple",
        "aaaaaaaaaaaaaaaa",
        "121212121212121212",
        "ada.lovelace",
        "Ada.Lovelace2026",
        "ada.lovelaceada.lovelace",
        "Countess of L.!",
    ],
)
def test_easily_guessed_ones_are_refused(password: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_password(password, "ada.lovelace", "Countess of L.")
    assert password not in refused.value.detail


@pytest.mark.parametrize(
    "password",
    [
        "a quiet meadow",
        "   spaces   count  ",
        "ünïcödé is välid ✓",
        "ada.lovelace likes engines",
        "x" * 6 + "yzw" + "abc",
        "Zq9" * 4 + "w",
        "quiet " * 85,
    ],
)
def test_there_is_no_rule_about_kinds_of_characters(password: str) -> None:
    check_password(password, "ada.lovelace", "Al")


async def test_a_flood_of_tries_is_refused_and_leaves_nothing_waiting() -> None:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    try:
        answers = await asyncio.gather(
            *(passwords.verify(None, "any") for _ in range(200)), return_exceptions=True
        )
        refused = sum(isinstance(one, TooManySignIns) for one in answers)
        assert 0 < refused <= 150
        assert answers.count(False) == 200 - refused
        assert await passwords.verify(None, "any") is False
    finally:
        passwords.close()


async def test_hashes_are_argon2id_with_a_salt_and_the_recommended_cost() -> None:
    passwords = Passwords()
    try:
        first, second = [await passwords.hash("a quiet meadow") for _ in range(2)]
        assert first != second
        assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
        assert await passwords.verify(first, "a quiet meadow")
        assert not await passwords.verify(first, "a quiet Meadow")
        assert not await passwords.verify(None, "a quiet meadow")
        assert not passwords.is_outdated(first)
    finally:
        passwords.close()
