"""A desk for tests of the page: one permit, whose rules are only that nobody enters twice."""

from __future__ import annotations

import time

import msgspec

from edge.lan.desk import Answer, Asked, LockView, PermitView, Person, Value
from tocsin.grants.claims import holder_id

PIN = "481516"


class OnePermit:
    """Answers the page and notes what was asked."""

    def __init__(self) -> None:
        now = time.time_ns()
        self.asked: list[tuple[str, Asked]] = []
        self.known: dict[str, str] = {}
        self.looked: set[tuple[str, str | None]] = set()  # who, with which phone's key
        self.view = PermitView(
            permit="P-17",
            space="污水井 3 / Sewer 3",
            state="active",
            since_ns=now - 600 * 10**9,
            until_ns=now + 3000 * 10**9,
            roster=(
                Person("chen", "陈伟", True, now - 300 * 10**9),
                Person("liu", "刘洋", True, now - 290 * 10**9),
                Person("zhao", "赵敏", False),
            ),
            values=(
                Value("gas-01", "h2s", 2.4, "[ppm]", now - 10**9),
                Value("gas-01", "o2", 20.8, "%{vol}", now - 10**9),
            ),
            rescue_call="119",
            rescue_plan="井口三脚架与绞盘，2 号门救援队 / tripod and winch, team at gate 2",
            locks=(LockView("hatch-1", True, False, now - 4 * 10**9, now + 1200 * 10**9),),
        )

    def permits(self, account: str, holder: str | None) -> tuple[PermitView, ...]:
        self.looked.add((account, holder))
        return (self.view,)

    def phones(self, account: str) -> dict[str, str]:
        return self.known

    async def login(self, account: str, pin: str) -> str | None:
        return "王监护 Wang" if (account, pin) == ("wang", PIN) else None

    async def ask(self, account: str, asked: Asked) -> Answer:
        self.asked.append((account, asked))
        who = asked.said.get("person", "")
        match asked.action:
            case "enter" if any(p.account == who and p.inside for p in self.view.roster):
                return Answer(False, "已在里面。", "Inside already.")
            case "enter" | "exit":
                self._move(who, inside=asked.action == "enter")
            case "sos" | "suspend" | "emergency":
                state = "emergency" if asked.action == "emergency" else "suspended"
                cause = "person" if asked.action == "suspend" else "sos"
                self.view = msgspec.structs.replace(self.view, state=state, cause=cause)
            case "roll-call":
                for person in self.view.roster:
                    counted = person.account in asked.said["inside"].split("\n")
                    self._move(person.account, inside=counted)
            case "register":
                self.known[holder_id(bytes.fromhex(asked.said["public"])).hex()] = "waiting"
            case "challenge":
                return Answer(True, told={"sign": "00ff" * 8})
            case _:
                pass
        return Answer(True)

    def _move(self, account: str, *, inside: bool) -> None:
        roster = tuple(
            msgspec.structs.replace(p, inside=inside, since_ns=time.time_ns())
            if p.account == account
            else p
            for p in self.view.roster
        )
        self.view = msgspec.structs.replace(self.view, roster=roster)
