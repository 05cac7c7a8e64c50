"""Signing in with a name, a password and, where it is asked for, a code.

An unknown name, a wrong password, a disabled account and a wrong code go the same way, cost the
same and get the same answer, and each is a try that counts.
"""

from dataclasses import dataclass
from typing import Literal

from diagnosis.audit import Action, AuditOutcome
from gateway.identity.attempts import Attempt
from gateway.identity.codes import step_of
from gateway.identity.events import by_account
from gateway.identity.records import Account, plain_name
from gateway.identity.refusals import CodeRefused, SignInFailed
from gateway.identity.service import Service

Next = Literal["done", "code", "enrol"]


@dataclass(frozen=True)
class Progress:
    """How far somebody has come: what is next, and the cookie of the session that has begun."""

    next: Next
    cookie: str


async def by_password(
    service: Service,
    name: str,
    password: str,
    code: str | None,
    *,
    address: str,
    cookie: str | None,
) -> Progress:
    """Sign in, or as far as it goes without a code.

    Args:
        service: the parts.
        name: as it was typed.
        password: as it was typed.
        code: of the device, or None.
        address: where the request comes from.
        cookie: of the session that the browser has; that one ends.

    Raises:
        SignInFailed: something is wrong, whatever it is.
        LockedOut: there were too many failures.
    """
    name = plain_name(name)
    async with service.attempts.trying(name, address) as attempt:
        account = await service.store.account_named(name)
        kept = account.password if account is not None and account.can_sign_in else None
        if not await service.passwords.verify(kept, password):
            await _fail(service, account, attempt)
        assert account is not None
        assert kept is not None
        if account.totp is not None and code is None:
            await attempt.take_back()
            begun = await service.sessions.begin(account, instead_of=cookie, awaits="code")
            return Progress("code", begun)
        if account.totp is not None and code is not None:
            await _use_code(service, account, code, attempt)
        if service.passwords.is_outdated(kept):
            await _hash_again(service, account, password)
        return await _let_in(service, account, attempt, cookie)


async def by_code(
    service: Service, account: Account, code: str, *, address: str, cookie: str
) -> Progress:
    """The second step of one that began with a password; raises as `by_password` does."""
    async with service.attempts.trying(account.name, address) as attempt:
        await _use_code(service, account, code, attempt)
        return await _let_in(service, account, attempt, cookie)


async def confirm_password(
    service: Service, account: Account, password: str, code: str | None, *, address: str
) -> None:
    """Nothing, where whoever is signed in still knows the password and holds the device.

    Raises:
        CodeRefused: the account has codes and none was given; that is no try.
        SignInFailed: something is wrong, whatever it is.
        LockedOut: there were too many failures.
    """
    require_code(account, code)
    async with service.attempts.trying(account.name, address) as attempt:
        if not await service.passwords.verify(account.password, password):
            await _fail(service, account, attempt)
        if account.totp is not None and code is not None:
            await _use_code(service, account, code, attempt)
        await attempt.succeed()


async def confirm_code(service: Service, account: Account, code: str, *, address: str) -> None:
    """Nothing, where whoever is signed in holds the device; raises as `by_password` does."""
    async with service.attempts.trying(account.name, address) as attempt:
        await _use_code(service, account, code, attempt)
        await attempt.succeed()


def require_code(account: Account, code: str | None) -> None:
    """Nothing, unless the account has codes and none was given.

    Raises:
        CodeRefused: one has to be given.
    """
    if account.totp is not None and code is None:
        raise CodeRefused(
            "Your account has codes, so this takes one beside the password.",
            remedy="Type the code that your device shows now too.",
        )


async def begin_session(
    service: Service,
    account: Account,
    cookie: str | None,
    *,
    by_provider: bool = False,
    auth_time: float | None = None,
) -> Progress:
    """Begin the session of somebody who is who they say.

    Its id is new, so that one planted in the browser before is of no use to anybody.

    Args:
        service: the parts.
        account: whose.
        cookie: of the session that the browser has; that one ends.
        by_provider: whether the organisation's provider says so, whose own rules about codes hold;
            a password alone is not enough where a role asks for codes, whoever else knows them.
        auth_time: when they showed who they are; by default now.
    """
    at = service.clock()
    await service.audit.add(by_account(account, Action.SIGN_IN))
    await service.store.change_account(
        account.id, lambda one: one.model_copy(update={"signed_in_at": at})
    )
    asked = set(service.settings.code_required_for) & set(account.roles)
    if asked and account.totp is None and not by_provider:
        begun = await service.sessions.begin(account, instead_of=cookie, awaits="enrolment")
        return Progress("enrol", begun)
    begun = await service.sessions.begin(account, instead_of=cookie, auth_time=auth_time)
    return Progress("done", begun)


async def _let_in(
    service: Service, account: Account, attempt: Attempt, cookie: str | None
) -> Progress:
    await attempt.succeed()
    service.metrics.sign_ins.labels("allowed").inc()
    return await begin_session(service, account, cookie)


async def _fail(service: Service, account: Account | None, attempt: Attempt) -> None:
    # Before anything that may fail on our side: a wrong password stays one.
    attempt.fail()
    service.metrics.sign_ins.labels("refused").inc()
    await service.audit.add(by_account(account, Action.SIGN_IN_FAILED, AuditOutcome.REFUSED))
    raise SignInFailed


async def _use_code(service: Service, account: Account, code: str, attempt: Attempt) -> None:
    """Take a code, once: of two requests with one code, one fails."""
    taken = False

    def take(one: Account) -> Account:
        nonlocal taken
        step = None
        if one.totp is not None:
            step = step_of(one.totp, code, service.clock(), after=one.totp_step)
        taken = step is not None
        return one if step is None else one.model_copy(update={"totp_step": step})

    await service.store.change_account(account.id, take)
    if not taken:
        await _fail(service, account, attempt)


async def _hash_again(service: Service, account: Account, password: str) -> None:
    hashed = await service.passwords.hash(password)
    await service.store.change_account(
        account.id,
        # Not where it was changed meanwhile.
        lambda one: (
            one.model_copy(update={"password": hashed}) if one.password == account.password else one
        ),
    )
