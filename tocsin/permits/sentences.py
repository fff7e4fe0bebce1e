"""One sentence for every refusal, Chinese and English, with the rule that it follows."""

from __future__ import annotations

from tocsin.permits.outcomes import Refused
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.rule_rows import RuleRow
from tocsin.permits.words import Language, said

SENTENCES: dict[Why, tuple[str, str]] = {
    Why.WRONG_STATE: ("作业票处于“{state}”状态，不能进行“{action}”。", "The permit is {state}: it is not possible now to {action}."),
    Why.MALFORMED: ("“{action}”缺少所需内容（{wants}）。", "To {action}, more is needed ({wants})."),
    Why.REASON_MISSING: ("“{action}”须写明理由。", "To {action}, give a reason in words."),
    Why.RESUME_NEEDS_CLOUD: ("网关不能自行恢复作业，须由审批人在平台上恢复。", "The gateway alone cannot resume work: an approver does it in the cloud."),
    Why.ACTIVATE_NEEDS_CLOUD: ("网关不能自行开始作业，须在平台上开始。", "The gateway alone cannot start work: the attendant does it in the cloud."),
    Why.NEEDS_CLOUD: ("“{action}”须在平台上进行。", "To {action} needs the cloud, not only the gateway."),
    Why.GATEWAY_BEHIND: ("网关尚未确认作业票的最新状态。", "The gateway has not confirmed that it knows the permit's state."),
    Why.ROLE_NOT_HELD: ("{person} 没有“{role}”的职责。", "{person} does not hold the role of {role}."),
    Why.ROLE_MAY_NOT: ("“{role}”无权进行“{action}”。", "The role of {role} may not {action}."),
    Why.NOT_NAMED: ("{person} 不是本作业票上的“{role}”。", "{person} is not the {role} named on this permit."),
    Why.SAME_PERSON: ("{person} 不能既是“{role}”又是“{other}”。", "{person} cannot be both {role} and {other}."),
    Why.UNKNOWN_PERSON: ("没有名为 {person} 的人员。", "There is no person {person}."),
    Why.UNTRAINED: ("{person} 未经有效培训。", "{person} has no valid training."),
    Why.UNFIT: ("{person} 的体检已过期。", "The medical certificate of {person} has lapsed."),
    Why.NOT_AT_SPACE: ("须在 {space} 现场扫码后进行。", "This is done at {space}: read the code there."),
    Why.FIELD_MISSING: ("“{field}”未填写。", "The field {field} is empty."),
    Why.CHECKLIST_OPEN: ("检查项“{item}”未确认。", "The checklist item “{item}” is not ticked."),
    Why.EQUIPMENT_MISSING: ("缺少装备“{item}”。", "The equipment “{item}” is missing."),
    Why.TOO_LONG: ("作业时间 {hours} 小时，超过上限 {limit} 小时。", "The work is to last {hours} h, more than the {limit} h allowed."),
    Why.UNKNOWN_SPACE: ("台账中没有有限空间 {space}。", "The ledger has no space {space}."),
    Why.UNKNOWN_TEMPLATE: ("没有风险模板 {template}。", "There is no hazard template {template}."),
    Why.LINK_UNKNOWN: ("关联作业票 {permit} 不在本站点或已结束。", "The linked permit {permit} is not at this site, or has ended."),
    Why.SPACE_TAKEN: ("该空间已有作业票 {permit}。", "The space already has the permit {permit}."),
    Why.CONFLICT: ("与作业票 {permit} 的作业“{activity}”冲突。", "It conflicts with “{activity}” of permit {permit}."),
    Why.ISOLATION_MISSING: ("隔离措施“{item}”未签字确认。", "The isolation “{item}” is not signed."),
    Why.ISOLATION_UNKNOWN: ("隔离清单中没有“{item}”。", "The isolation list has no “{item}”."),
    Why.PHOTO_MISSING: ("隔离措施“{item}”缺少照片。", "The isolation “{item}” needs a photo."),
    Why.VENTILATION_OFF: ("通风未开启。", "Ventilation is not running."),
    Why.VENTILATION_SHORT: ("通风仅 {minutes} 分钟，须达 {limit} 分钟。", "Ventilation has run {minutes} min; {limit} min are needed."),
    Why.HANDED_BACK: ("隔离措施已交还。", "The isolations have been handed back."),
    Why.TEST_MISSING: ("没有气体检测记录。", "There is no gas test."),
    Why.TEST_OLD: ("气体检测已过 {minutes} 分钟，上限为 {limit} 分钟。", "The gas test is {minutes} min old; at most {limit} min are allowed."),
    Why.TEST_BEFORE_SUSPENSION: ("暂停后须重新检测。", "The space must be tested again after the suspension."),
    Why.POINT_MISSING: ("缺少 {quantity} 在“{depth}”的检测值。", "The test has no {quantity} at the {depth}."),
    Why.TEST_ORDER: ("“{depth}”应先测 {quantity}，再测 {other}。", "At the {depth} {quantity} is tested before {other}."),
    Why.LIMIT_EXCEEDED: ("{quantity} 在“{depth}”为 {value} {unit}，超出限值 {limit} {unit}。", "{quantity} is {value} {unit} at the {depth}: beyond its limit of {limit} {unit}."),
    Why.LIMIT_UNKNOWN: ("规则中没有 {quantity}（{unit}）的限值。", "The rules have no limit for {quantity} in {unit}."),
    Why.INSTRUMENT_UNKNOWN: ("台账中没有仪器 {instrument}。", "The ledger has no instrument {instrument}."),
    Why.CALIBRATION_LAPSED: ("仪器 {instrument} 校准已过期。", "The calibration of {instrument} has lapsed."),
    Why.BUMP_OLD: ("仪器 {instrument} 功能测试已过 {hours} 小时，上限为 {limit} 小时。", "{instrument} was bump-tested {hours} h ago; at most {limit} h are allowed."),
    Why.SECOND_INSTRUMENT_MISSING: ("{quantity} 在“{depth}”须由两台仪器检测。", "{quantity} at the {depth} needs a second instrument."),
    Why.INSTRUMENTS_DISAGREE: ("{quantity} 在“{depth}”两台仪器不一致：{value} 与 {other}。", "Two instruments disagree on {quantity} at the {depth}: {value} and {other}."),
    Why.BRIEFING_UNSIGNED: ("{person} 未签安全交底。", "{person} has not signed the briefing."),
    Why.TOOLS_UNCOUNTED: ("工具未清点。", "The tools are not counted."),
    Why.ALREADY_SIGNED: ("{person} 已签过。", "{person} has signed already."),
    Why.NOT_YET: ("未到作业开始时间。", "The permit has not begun yet."),
    Why.OVER: ("作业票已到期。", "The permit's time is over."),
    Why.BREACH: ("现场条件不满足（{cause}）：{detail}。", "A live condition does not hold ({cause}): {detail}."),
    Why.INTERRUPTED_TOO_LONG: ("中断已 {minutes} 分钟，超过 {limit} 分钟，须重新准备。", "Work was interrupted for {minutes} min, more than {limit}: prepare it anew."),
    Why.ALREADY_INSIDE: ("{person} 已在里面。", "{person} is inside already."),
    Why.NOT_INSIDE: ("{person} 不在里面。", "{person} is not inside."),
    Why.UNLISTED: ("{person} 不在作业人员名单上。", "{person} is not on the roster."),
    Why.NOT_RESCUE: ("应急状态下只有救援人员可以进入，{person} 不可。", "In an emergency only the rescue team goes in, and {person} is not of it."),
    Why.STILL_INSIDE: ("里面还有 {count} 人。", "Still inside: {count}."),
    Why.HEADCOUNT_UNKNOWN: ("里面人数不明，按有人处理。", "Nobody knows how many are inside, which counts as occupied."),
    Why.TOOLS_LEFT: ("带入 {went_in} 件工具，带出 {out} 件。", "{went_in} tools went in and {out} came out."),
    Why.LOCK_OPEN: ("锁 {lock} 未确认锁上。", "The lock {lock} has not confirmed that it is locked."),
    Why.NOT_HANDED_BACK: ("隔离措施尚未交还。", "The isolations have not been handed back."),
    Why.ATTENDANT_FIRST: ("须先由监护人确认全部撤出。", "The attendant must first say that all is clear."),
    Why.WAS_ACTIVE: ("作业已开始过，不能撤销，只能关闭。", "Work had begun: the permit can be closed, not revoked."),
    Why.TOO_YOUNG: ("未到时间：{minutes} 分钟，须 {limit} 分钟。", "It is not due: {minutes} of {limit} min."),
    Why.NO_GRANTS_NOW: ("作业票处于“{state}”状态，不发放开锁授权。", "No grant is given while the permit is {state}."),
    Why.GRANT_TOO_LONG: ("授权 {minutes} 分钟，超过 {limit} 分钟。", "A grant of {minutes} min is longer than the {limit} min allowed."),
    Why.HOLDER_MAY_NOT: ("{person} 不能持有开锁授权。", "{person} may not hold a grant."),
    Why.NO_LIVE_GRANT: (
        "锁 {lock} 没有给此密钥的有效开锁授权；作业开始后才登记的手机，下次续发时得到授权。",
        "There is no live grant for the lock {lock} and this key; a phone registered after work began gets one with the next renewal.",
    ),
    Why.GRANT_DENIED: ("锁 {lock} 的授权已被停止。", "The grant for the lock {lock} has been stopped."),
}  # fmt: skip


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def sentence(refusal: Refused, language: Language) -> str:
    """Why not, in one sentence, and where it is written; what is missing in `args` shows as a question mark."""
    args = _Blank({name: said(name, value, language) for name, value in refusal.args.items()})
    text = SENTENCES[refusal.reason][0 if language == "zh" else 1].format_map(args)
    return text if refusal.rule is None else f"{text} {quoted(refusal.rule, language)}"


def quoted(row: RuleRow, language: Language) -> str:
    """A rule as a refusal quotes it: its sentence, its id and where it is written."""
    if language == "zh":
        doubt = "" if row.verified else "，未经原文核对"
        return f"规则 {row.id}：{row.text_zh}（{row.citation}{doubt}）"
    doubt = "" if row.verified else "; not checked against the full text"
    return f"Rule {row.id}: {row.text_en} ({row.citation}{doubt})"
