"""The words of a permit for people, Chinese and English."""

from __future__ import annotations

from typing import Literal

from tocsin.permits.names import Action, Cause, Role, State

Language = Literal["zh", "en"]

STATES: dict[State, tuple[str, str]] = {
    State.DRAFT: ("草稿", "draft"),
    State.SUBMITTED: ("已提交", "submitted"),
    State.REJECTED: ("已驳回", "rejected"),
    State.PREPARED: ("准备中", "being prepared"),
    State.TESTED: ("已检测", "tested"),
    State.APPROVED: ("已批准", "approved"),
    State.ACTIVE: ("作业中", "active"),
    State.SUSPENDED: ("已暂停", "suspended"),
    State.EMERGENCY: ("应急", "an emergency"),
    State.CLOSING: ("撤离中", "closing"),
    State.EXPIRED: ("已到期", "expired"),
    State.CLOSED: ("已关闭", "closed"),
    State.REVOKED: ("已撤销", "revoked"),
    State.ARCHIVED: ("已归档", "archived"),
}
ROLES: dict[Role, tuple[str, str]] = {
    Role.APPLICANT: ("申请人", "applicant"),
    Role.APPROVER: ("审批人", "approver"),
    Role.GAS_TESTER: ("气体检测员", "gas tester"),
    Role.ATTENDANT: ("监护人", "attendant"),
    Role.ENTRANT: ("作业人员", "entrant"),
    Role.RESCUE: ("救援人员", "rescuer"),
    Role.REGULATOR: ("监管人员", "regulator"),
    Role.TECHNICIAN: ("技术员", "technician"),
    Role.SYSTEM: ("系统", "system"),
}
ACTIONS: dict[Action, tuple[str, str]] = {
    Action.DRAFT: ("起草", "draft"),
    Action.SUBMIT: ("提交", "submit"),
    Action.REJECT: ("驳回", "reject"),
    Action.PREPARE: ("受理准备", "accept for preparation"),
    Action.ISOLATE: ("签隔离措施", "sign an isolation"),
    Action.REOPEN: ("解除隔离", "take an isolation away"),
    Action.VENTILATE: ("通风", "record ventilation"),
    Action.TEST: ("气体检测", "record a gas test"),
    Action.BRIEF: ("签安全交底", "sign the briefing"),
    Action.COUNT_TOOLS: ("清点工具", "count the tools"),
    Action.APPROVE: ("批准", "approve"),
    Action.ACTIVATE: ("开始作业", "start the work"),
    Action.ENTER: ("进入", "enter"),
    Action.EXIT: ("撤出", "come out"),
    Action.COUNT_PEOPLE: ("清点人数", "count the people"),
    Action.SUSPEND: ("暂停", "suspend"),
    Action.SOS: ("求救", "call for help"),
    Action.RESUME: ("恢复", "resume"),
    Action.EMERGENCY: ("启动应急", "declare an emergency"),
    Action.END_RESCUE: ("结束救援", "end the rescue"),
    Action.FINISH: ("结束作业", "finish the work"),
    Action.WARN: ("到期提醒", "warn of the end"),
    Action.EXPIRE: ("到期", "expire"),
    Action.BACK_TO_PREPARED: ("退回准备", "go back to preparation"),
    Action.HAND_BACK: ("交还隔离措施", "hand the isolations back"),
    Action.LOCK: ("锁事件", "note a lock's event"),
    Action.GRANT: ("发放授权", "give a grant"),
    Action.CLOSE: ("关闭", "close"),
    Action.REVOKE: ("撤销", "revoke"),
    Action.ARCHIVE: ("归档", "archive"),
}
CAUSES: dict[Cause, tuple[str, str]] = {
    Cause.GAS: ("气体超限", "gas beyond its limit"),
    Cause.OXYGEN: ("氧气超限", "oxygen beyond its limits"),
    Cause.STALE: ("数据过期", "value too old"),
    Cause.SENSOR: ("传感器故障", "sensor at fault"),
    Cause.VENTILATION: ("通风停止", "ventilation stopped"),
    Cause.ATTENDANT: ("监护人无信号", "no sign of the attendant"),
    Cause.HEADCOUNT: ("人数不符", "headcount does not fit"),
    Cause.UNLISTED: ("名单外人员进入", "somebody unlisted went in"),
    Cause.ISOLATION: ("隔离被解除", "an isolation was taken away"),
    Cause.TAMPER: ("锁被撬动", "the lock was tampered with"),
    Cause.SOS: ("求救", "call for help"),
    Cause.SIMOPS: ("交叉作业冲突", "conflict with work nearby"),
    Cause.LINKED: ("关联作业票已暂停", "a linked permit is suspended"),
    Cause.WEATHER: ("天气预警", "weather warning"),
    Cause.PERSON: ("人工决定", "somebody decided it"),
    Cause.SIREN: ("警报器无应答", "the siren does not answer"),
}
DEPTHS = {"top": ("上部", "top"), "middle": ("中部", "middle"), "bottom": ("下部", "bottom")}
_ALL: dict[str, dict[str, tuple[str, str]]] = {
    "state": {k.value: v for k, v in STATES.items()},
    "role": {k.value: v for k, v in ROLES.items()},
    "other": {k.value: v for k, v in ROLES.items()},
    "action": {k.value: v for k, v in ACTIONS.items()},
    "cause": {k.value: v for k, v in CAUSES.items()},
    "depth": DEPTHS,
}


def word(of: State | Role | Action | Cause, language: Language) -> str:
    """How people call it."""
    kind = type(of).__name__.lower()
    return said(kind, of.value, language)


def said(kind: str, value: str, language: Language) -> str:
    """The word for `value`, one of the names of `kind` (as the args of a refusal call it); itself where there is none."""
    pair = _ALL.get(kind, {}).get(value)
    return value if pair is None else pair[0 if language == "zh" else 1]
