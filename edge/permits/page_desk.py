"""The attendant's page on the permits of this gateway: who may log in, what is shown, and what each tap asks of whom."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from edge.lan import desk as page
from edge.lan.desk import Answer, Asked
from edge.locks.interface import HolderProof, Locks
from edge.orders.results import Result
from edge.permits.grants import Waiting
from edge.permits.watched import Watched, claims_of
from tocsin.contract.orders import Outcome as Came
from tocsin.errors import (
    DriverError,
    GrantRefusedError,
    LockRefusal,
    OutboxError,
    TocsinError,
)
from tocsin.grants.claims import holder_id
from tocsin.grants.grant import PROOF_UNLOCK, holder_message
from tocsin.grants.primitives import is_signed
from tocsin.permits import facts
from tocsin.permits.context import Context
from tocsin.permits.live import too_much
from tocsin.permits.messages import WAITING, KeyUp
from tocsin.permits.names import Action, Cause, Role, State
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.permit import Permit
from tocsin.permits.pins import is_pin
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.requests import Request
from tocsin.permits.sentences import sentence

if TYPE_CHECKING:
    from edge.permits.desk import PermitDesk

HOLD = b"HOLD1"
MOST_WAITING = 32  # challenges nobody answered; the oldest goes first
_AT_ONCE = 2  # PINs that are tried at the same time: each takes 16 MiB
_TRIES_LONGEST_S = 10.0
MOST_KEYS = 20  # carried up in one run: nobody has so many phones
_FOR: Final = {
    "enter": Action.ENTER,
    "exit": Action.EXIT,
    "sos": Action.SOS,
    "suspend": Action.SUSPEND,
    "resume": Action.RESUME,
    "emergency": Action.EMERGENCY,
    "end-rescue": Action.END_RESCUE,
    "roll-call": Action.COUNT_PEOPLE,
}
_WRONG_ROLE = frozenset({Why.ROLE_MAY_NOT, Why.ROLE_NOT_HELD, Why.NOT_NAMED})
_ROLES: Final = {  # in which capacity somebody asks: the first that they hold in which they may
    Action.ENTER: (Role.ATTENDANT, Role.RESCUE, Role.ENTRANT),
    Action.EXIT: (Role.ATTENDANT, Role.RESCUE, Role.ENTRANT),
    Action.SUSPEND: (Role.ATTENDANT, Role.APPROVER, Role.REGULATOR),
    Action.SOS: tuple(Role),
    Action.RESUME: tuple(Role),  # refused here whoever asks, with its reason
    Action.EMERGENCY: tuple(Role),
    Action.END_RESCUE: (Role.APPROVER, Role.RESCUE),
    Action.COUNT_PEOPLE: (Role.ATTENDANT, Role.APPROVER, Role.RESCUE),
}  # fmt: skip


class PageDesk:
    """`edge.lan.desk.Desk`."""

    def __init__(self, desk: PermitDesk, locks: Locks) -> None:
        self._desk, self._locks = desk, locks
        self._trying = asyncio.Semaphore(_AT_ONCE)
        self._carried: dict[str, set[bytes]] = {}  # keys that went up, by account
        self._waiting: OrderedDict[tuple[str, str, str], Waiting] = OrderedDict()

    def permits(self, account: str, holder: str | None) -> tuple[page.PermitView, ...]:
        """Those whose work began and that have not ended, and those that wait for the attendant."""
        return tuple(
            self._view(w, account, holder)
            for w in self._desk.permits()
            if (w.has_begun or w.permit.state is State.APPROVED) and w.permit.form
        )

    async def login(self, account: str, pin: str) -> str | None:
        """By the PIN that came with a permit."""
        kept, name = "", account
        for watched in self._desk.permits():
            for person in watched.told.people:
                if person.account == account:
                    kept, name = person.pin or kept, person.name
        try:
            async with asyncio.timeout(_TRIES_LONGEST_S), self._trying:
                fits = await asyncio.to_thread(is_pin, kept, pin)
        except TimeoutError:
            return None
        return name if fits else None

    def phones(self, account: str) -> dict[str, str]:
        """As the cloud told last; what went up in this run waits at least."""
        found = {holder_id(key).hex(): WAITING for key in self._carried.get(account, ())}
        for watched in self._desk.permits():
            for person in watched.told.people:
                if person.account == account:
                    found |= {
                        h: s for h, s in person.phones.items() if s != WAITING or h not in found
                    }
        return found

    async def ask(self, account: str, asked: Asked) -> Answer:
        """One tap."""
        if asked.action == "register":
            try:
                return await self._register(account, asked.said)
            except OutboxError as exc:
                return _failed(exc)
        watched = self._desk.find(asked.permit)
        if watched is None:
            return Answer(False, "网关上没有这张作业票。", "This gateway keeps no such permit.")
        if account not in {person.account for person in watched.told.people}:
            return _no(refused(Why.UNKNOWN_PERSON, person=account))
        try:
            match asked.action:
                case "heartbeat":
                    return self._sign(watched, account)
                case "challenge":
                    return await self._challenge(watched, account, asked.said)
                case "unlock":
                    return await self._unlock(watched, account, asked.said)
                case "relock":
                    return await self._relock(watched, account, asked.said.get("lock", ""))
                case action if action in _FOR:
                    self._sign(watched, account)
                    return await self._decide(watched, account, _FOR[action], asked.said)
                case _:
                    return Answer(False, "没有这个操作。", f"There is no action {asked.action}.")
        except (DriverError, GrantRefusedError, OutboxError) as exc:
            return _failed(exc)

    async def _register(self, account: str, said: dict[str, str]) -> Answer:
        """Nobody's key before somebody confirms it at the cloud: else whoever has the gateway could make keys for anyone."""
        public, proof = _bytes(said.get("public", ""), 32), _bytes(said.get("proof", ""), 64)
        if public is None or proof is None or not is_signed(public, proof, HOLD + account.encode()):
            return Answer(False, "密钥无法验证。", "The key does not prove itself.")
        carried = self._carried.setdefault(account, set())
        if public not in carried:
            if len(carried) >= MOST_KEYS:
                return Answer(False, "登记的密钥太多，请联系技术员。", "Too many keys of yours: ask a technician.")  # fmt: skip
            await self._desk.carry_key(KeyUp(account, public, proof))
            carried.add(public)
        return Answer(True)

    def _sign(self, watched: Watched, account: str) -> Answer:
        form = watched.permit.form
        if form is not None and account in form.attendants:
            self._desk.watch.sign(watched.id)
            return Answer(True)
        return Answer(False, "只有监护人的信号有效。", "Only the attendant's sign counts.")

    async def _decide(
        self, watched: Watched, account: str, action: Action, said: dict[str, str]
    ) -> Answer:
        held = next((p.roles for p in watched.told.people if p.account == account), ())
        roles = [role for role in _ROLES[action] if role.value in held]
        if not roles:
            return _no(refused(Why.ROLE_NOT_HELD, person=account, role=Role.ATTENDANT.value))
        fact: facts.Entered | facts.Exited | facts.Counted | None = None
        match action:
            case Action.ENTER:
                fact = facts.Entered(said.get("person", ""))
            case Action.EXIT:
                fact = facts.Exited(said.get("person", ""))
            case Action.COUNT_PEOPLE:
                inside = tuple(dict.fromkeys(filter(None, said.get("inside", "").split("\n"))))
                known = {p.account for p in watched.told.people}
                if wrong := [name for name in inside if name not in known]:
                    return _no(refused(Why.UNKNOWN_PERSON, person=wrong[0]))
                fact = facts.Counted(inside)
            case _:
                pass
        cause = Cause.SOS if action is Action.SOS else None
        refusals: list[Refused] = []
        for role in roles:
            request = Request(action, account, role, said.get("reason", ""), fact, cause)
            outcome = await self._desk.ask(watched.id, request)
            if not isinstance(outcome, Refused):
                return Answer(outcome is not None)
            refusals.append(outcome)
        return _no(next((r for r in refusals if r.reason not in _WRONG_ROLE), refusals[0]))

    async def _challenge(self, watched: Watched, account: str, said: dict[str, str]) -> Answer:
        lock, public = said.get("lock", ""), _bytes(said.get("public", ""), 32)
        if public is None or not self._is_lock(watched, lock):
            return Answer(False, "请求不完整。", "The request is not complete.")
        waiting = await self._desk.unlocker.challenge(watched, lock, public, account)
        if isinstance(waiting, Refused):
            return _no(waiting)
        self._waiting[watched.id, lock, account] = waiting
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)
        challenge = waiting.challenge
        told = holder_message(
            PROOF_UNLOCK, challenge.nonce, challenge.lock_id, bytes.fromhex(waiting.cti)
        )
        return Answer(True, told={"sign": told.hex()})

    async def _unlock(self, watched: Watched, account: str, said: dict[str, str]) -> Answer:
        public, signature = (
            _bytes(said.get("public", ""), 32),
            _bytes(said.get("signature", ""), 64),
        )
        waiting = self._waiting.pop((watched.id, said.get("lock", ""), account), None)
        if waiting is None or public is None or signature is None:
            return Answer(False, "请重新开始开锁。", "Begin to unlock again.")
        proof = HolderProof(public, signature)
        came = await self._desk.unlocker.unlock(waiting, proof, account)
        claims = claims_of(waiting.grant.raw)
        if came.reason != LockRefusal.NOT_ALLOWED or claims is None:
            return _came(came)
        against = self._desk.unlocker.against(waiting.challenge.lock, claims)
        return Answer(False, *against) if against else _came(came)

    async def _relock(self, watched: Watched, account: str, lock: str) -> Answer:
        form = watched.permit.form
        if form is None or account not in form.attendants:
            return _no(refused(Why.NOT_NAMED, person=account, role=Role.ATTENDANT.value))
        if not self._is_lock(watched, lock):
            return Answer(False, "请求不完整。", "The request is not complete.")
        found = self._desk.unlocker.occupied(lock)
        if found is not None and found.permit != watched.id:
            return Answer(False, *found.told)
        came = await self._desk.unlocker.relock(watched, lock, account)
        return _no(came) if isinstance(came, Refused) else _came(came)

    def _is_lock(self, watched: Watched, lock: str) -> bool:
        return lock in self._desk.space(watched).locks and lock in self._locks.names()

    def _view(self, watched: Watched, account: str, holder: str | None) -> page.PermitView:
        permit, context, now_ns = watched.permit, self._desk.context(watched), self._desk.now_ns()
        form = permit.form
        assert form is not None  # noqa: S101 - permits() shows no other
        names = {p.account: p.name for p in watched.told.people}
        moved = {
            e.fact.person: e.at_ns
            for e in watched.entries
            if isinstance(e.fact, facts.Entered | facts.Exited)
        }
        crew = (*form.entrants, *sorted(permit.inside - set(form.entrants)))
        values = tuple(
            page.Value(r.device, r.quantity, r.value, r.unit, r.at_ns, too_much(r, context) is None)
            for r in context.conditions.readings
            if r.quantity in (watched.told.template.gases or (r.quantity,))
        )
        locks = self._desk.space(watched).locks
        return page.PermitView(
            permit=watched.id,
            space=watched.told.space.name,
            state=permit.state.value,
            since_ns=permit.since_ns,
            until_ns=form.until_ns,
            roster=tuple(
                page.Person(a, names.get(a, a), a in permit.inside, moved.get(a)) for a in crew
            ),
            headcount_known=watched.seen.headcount_known,
            cause=permit.cause.value if permit.cause else "",
            values=values,
            locks=tuple(
                self._lock(lock, _until_ns(permit, context, now_ns, lock, account, holder))
                for lock in locks
            ),
            rescue_call=form.rescue_call,
            rescue_plan=form.rescue_plan,
        )

    def _lock(self, lock: str, until_ns: int | None) -> page.LockView:
        if lock not in self._locks.names():
            return page.LockView(lock, None, None, None, until_ns)
        state = self._locks.state(lock)
        return page.LockView(
            lock,
            state.bolt_out,
            state.door_open,
            state.heard_ns,
            until_ns,
            state.in_doubt,
        )


def _until_ns(
    permit: Permit, context: Context, now_ns: int, lock: str, account: str, holder: str | None
) -> int | None:
    """Until when somebody may open a lock by themselves: while work goes on, under a live grant of their own that is not void."""
    if permit.state is not State.ACTIVE:
        return None
    mine = [g for g in permit.grants if (g.lock, g.account, g.rescue) == (lock, account, False)]
    ends = [
        g.exp_ns
        for g in mine
        if g.exp_ns > now_ns and g.cti not in context.denied and holder in (None, g.holder)
    ]
    return max(ends, default=None)


def _no(why: Refused) -> Answer:
    return Answer(False, sentence(why, "zh"), sentence(why, "en"))


def _failed(exc: TocsinError) -> Answer:
    hint = f" {exc.hint}" if exc.hint else ""
    return Answer(False, f"未能完成：{exc.message}{hint}", f"It did not work: {exc.message}{hint}")


def _came(result: Result) -> Answer:
    if result.outcome is Came.DONE:
        return Answer(True)
    if result.outcome is Came.UNKNOWN:
        return Answer(False, "锁没有应答，状态不明：请查看锁舌。", "The lock did not answer and may be in either place: look at its bolt.")  # fmt: skip
    why = result.text or result.reason
    return Answer(False, f"锁拒绝：{why}（{result.reason}）", f"The lock refused: {why} ({result.reason})")  # fmt: skip


def _bytes(text: str, length: int) -> bytes | None:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return found if len(found) == length else None
