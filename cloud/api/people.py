"""Accounts and tokens over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from cloud.api.gate import allow
from cloud.api.models import AccountBody, AccountChange, AccountTold, Me, TokenBody, TokenTold
from cloud.api.services import services
from cloud.identity.accounts import Account, password_problem
from cloud.identity.rules import Action, Principal, meet
from cloud.identity.tokens import Token
from tocsin.errors import BadRequestError, IdentityError, IdentityReason

router = APIRouter(prefix="/api/v1", tags=["identity"])
Admin = Depends(allow(Action.ADMIN))
Owner = Depends(allow(Action.TOKENS))
Reader = Depends(allow(Action.READ))
DAY_NS = 86_400_000_000_000


@router.get("/me")
def me(principal: Principal = Reader) -> Me:
    """Who the caller is and what it may do."""
    return Me(
        name=principal.name,
        kind=principal.kind,
        role=principal.role,
        sites=None if principal.sites is None else sorted(principal.sites),
        actions=sorted(principal.actions),
    )


@router.get("/tokens")
def tokens(request: Request, principal: Principal = Owner) -> list[TokenTold]:
    """The caller's tokens; an admin sees everybody's."""
    return [told(t) for t in services(request).tokens.list(whose(principal))]


@router.post("/tokens", status_code=201)
def create_token(request: Request, body: TokenBody, principal: Principal = Owner) -> TokenTold:
    """Make a token. Its secret is in this answer and never shown again."""
    secret, token = make_token(request, body, principal)
    return told(token).model_copy(update={"token": secret})


def make_token(request: Request, body: TokenBody, principal: Principal) -> tuple[str, Token]:
    """A token of the caller's own; a token makes no token that outlives or outranks it."""
    if principal.kind != "session":
        raise IdentityError(
            IdentityReason.NOT_ALLOWED, "a token makes no tokens", hint="log in, then make one"
        )
    parts = services(request)
    sites = None if body.sites is None else frozenset(body.sites)
    ends = None if body.days is None else parts.clock.now_ns() + int(body.days * DAY_NS)
    return parts.tokens.create(
        body.name,
        frozenset(body.scopes),
        sites=meet(sites, principal.sites),
        expires_ns=ends,
        account_id=principal.account_id,
    )


@router.delete("/tokens/{token}")
def revoke_token(request: Request, token: str, principal: Principal = Owner) -> TokenTold:
    """End a token for good."""
    return told(services(request).tokens.revoke(token, whose(principal)))


@router.get("/accounts")
def accounts(request: Request, principal: Principal = Admin) -> list[AccountTold]:
    """Every account."""
    return [account_told(a) for a in services(request).accounts.list()]


@router.post("/accounts", status_code=201)
def create_account(
    request: Request, body: AccountBody, principal: Principal = Admin
) -> AccountTold:
    """Make an account."""
    check_password(body.password)
    sites = None if body.sites is None else frozenset(body.sites)
    return account_told(
        services(request).accounts.create(body.name, body.password, body.role, sites)
    )


@router.put("/accounts/{account}")
def change_account(
    request: Request,
    account: Annotated[int, Path(ge=0, lt=2**63)],
    body: AccountChange,
    principal: Principal = Admin,
) -> AccountTold:
    """Change role, sites or password, or disable it."""
    if body.password is not None:
        check_password(body.password)
    sites = None if body.sites is None else frozenset(body.sites)
    changed = services(request).accounts.change(
        account, role=body.role, sites=sites, disabled=body.disabled, password=body.password
    )
    return account_told(changed)


def check_password(password: str) -> None:
    """Refuse a password that is too weak."""
    if problem := password_problem(password):
        raise BadRequestError(f"password: {problem}")


def whose(principal: Principal) -> int | None:
    """Whose tokens the caller handles: None is everybody's."""
    if Action.ADMIN in principal.actions and principal.sites is None:
        return None
    return principal.account_id if principal.account_id is not None else -1


def told(token: Token) -> TokenTold:
    """What may be shown of a token."""
    return TokenTold(
        id=token.id,
        name=token.name,
        scopes=sorted(token.scopes),
        sites=None if token.sites is None else sorted(token.sites),
        created_ns=token.created_ns,
        expires_ns=token.expires_ns,
        used_ns=token.used_ns,
        revoked_ns=token.revoked_ns,
    )


def account_told(account: Account) -> AccountTold:
    """What may be shown of an account."""
    return AccountTold(
        id=account.id,
        name=account.name,
        role=account.role,
        sites=None if account.sites is None else sorted(account.sites),
        disabled=account.disabled,
        created_ns=account.created_ns,
    )
