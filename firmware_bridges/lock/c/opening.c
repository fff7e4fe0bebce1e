/* GRANT, PROVE, UNLOCK_A, RELOCK, RESCUE: what moves the bolt. docs/specs/lock.md, section 5. */
#include "core.h"

static const char unlock_purpose[] = "UNLK1", rescue_purpose[] = "RSCU1";

bool tl_has_live_nonce(const tl_lock *lock)
{
    return lock->session.has_nonce && lock->now_s < lock->session.nonce_until_s;
}

static const tl_used *known(const tl_lock *lock, const uint8_t *cti)
{
    for (uint8_t at = 0; at < lock->durable.used_count; at++)
        if (memcmp(lock->durable.used[at].cti, cti, TL_ID_BYTES) == 0) return &lock->durable.used[at];
    return NULL;
}

/* For this lock, now, not revoked, not used up, by this gateway, for this. In this order. */
static uint8_t in_force(const tl_lock *lock, const tl_claims *claims, enum tl_op op)
{
    uint32_t time_s;
    uint8_t quality = tl_clock(lock, &time_s);
    if (memcmp(claims->aud, lock->identity->lock_id, TL_ID_BYTES) != 0) return TL_WRONG_LOCK;
    if (!quality && op != TL_OP_RESCUE) return TL_TIME_UNKNOWN;
    if (!quality) time_s = claims->nbf;
    uint8_t code = tl_check_claims(claims, lock->identity->lock_id, time_s, lock->durable.min_ctr);
    if (code) return code;
    const tl_used *used = known(lock, claims->cti);
    if (used != NULL && used->is_revoked) return TL_REVOKED_GRANT;
    if (used != NULL && used->left == 0) return TL_ALREADY_USED;
    if (claims->has_gw && memcmp(claims->gw, lock->session.gateway_id, TL_ID_BYTES) != 0) return TL_NOT_ALLOWED;
    return claims->ops & op ? TL_OK : TL_NOT_ALLOWED;
}

/* Takes a grant out of those remembered; `one` is as it was, or new with nothing left. */
void tl_forget(tl_lock *lock, const uint8_t *cti, tl_used *one)
{
    tl_durable *durable = &lock->durable;
    const tl_used *found = known(lock, cti);
    memset(one, 0, sizeof *one);
    memcpy(one->cti, cti, TL_ID_BYTES);
    if (found == NULL) return;
    *one = *found;
    size_t at = (size_t)(found - durable->used);
    durable->used_count--;
    memmove(durable->used + at, durable->used + at + 1, (durable->used_count - at) * sizeof *one);
}

static uint8_t use_once(tl_lock *lock, const tl_claims *claims)
{
    tl_used one;
    bool was_known = known(lock, claims->cti) != NULL;
    tl_forget(lock, claims->cti, &one);
    if (!was_known) one.left = claims->uses;
    if (one.left) one.left--;
    one.ctr = claims->ctr;
    lock->durable.used[lock->durable.used_count++] = one;
    return one.left;
}

static void forget_below(tl_durable *durable)
{
    uint8_t kept = 0;
    for (uint8_t at = 0; at < durable->used_count; at++)
        if (durable->used[at].ctr >= durable->min_ctr) durable->used[kept++] = durable->used[at];
    durable->used_count = kept;
}

/* Keeps the state; what no longer fits goes lowest counter first, and min_ctr rises above it. */
bool tl_remember(tl_lock *lock, uint32_t least)
{
    tl_durable *durable = &lock->durable;
    if (durable->min_ctr < least) durable->min_ctr = least;
    forget_below(durable);
    while (durable->used_count > TL_USED_GRANTS) {
        uint32_t lowest = UINT32_MAX;
        for (uint8_t at = 0; at < durable->used_count; at++)
            if (durable->used[at].ctr < lowest) lowest = durable->used[at].ctr;
        durable->min_ctr = lowest + 1;
        forget_below(durable);
    }
    return tl_keep(lock);
}

static void opened_by(tl_durable *durable, const uint8_t *cti, bool may_relock)
{
    memcpy(durable->opener_cti, cti, TL_ID_BYTES);
    durable->opener_may_relock = may_relock;
}

static void end_failures(tl_durable *durable)
{
    durable->failures = 0;
    durable->lockout_s = 0;
    durable->is_locked_out = false;
}

static uint8_t move(tl_lock *lock, uint8_t kind, bool to_unlocked, const uint8_t *cti)
{
    if (to_unlocked && lock->write_failed) return TL_BUSY; /* what is not kept is not opened */
    tl_burn_nonce(lock);
    lock->awaited.kind = kind;
    lock->awaited.to_unlocked = to_unlocked;
    lock->awaited.until_s = lock->now_s + TL_BOLT_S;
    memcpy(lock->awaited.cti, cti, TL_ID_BYTES);
    memcpy(lock->awaited.gateway_id, lock->session.gateway_id, TL_ID_BYTES);
    lock->port->drive_bolt(lock->port->context, to_unlocked);
    return TL_OK;
}

static uint8_t unlock(tl_lock *lock, const tl_claims *claims, uint8_t kind)
{
    uint8_t data[5 + TL_ID_BYTES];
    if (lock->battery_percent < TL_BATTERY_LOW_PERCENT) return TL_BATTERY_LOW;
    if (tl_unacked(lock) >= TL_LOG_OPENINGS || lock->awaited.kind) return TL_BUSY;
    uint8_t left = use_once(lock, claims);
    opened_by(&lock->durable, claims->cti, claims->ops & TL_OP_RELOCK);
    end_failures(&lock->durable);
    (void)tl_remember(lock, 0);
    if (lock->write_failed) return TL_BUSY;
    uint8_t *at = tl_put32(data, claims->ctr);
    *at++ = left;
    (void)tl_put(at, lock->session.gateway_id, TL_ID_BYTES);
    tl_log(lock, TL_EVENT_UNLOCK, claims->cti, data, sizeof data);
    return move(lock, kind, true, claims->cti);
}

uint8_t tl_take_grant(tl_lock *lock, const uint8_t *body, size_t length)
{
    tl_claims claims;
    uint8_t code;
    if (lock->identity->profile != TL_PROFILE_B) return TL_NOT_ALLOWED;
    if (!tl_has_live_nonce(lock)) return TL_NO_LIVE_NONCE;
    if (lock->durable.issuer_count == 0) return TL_NOT_ALLOWED;
    if ((code = tl_verify_grant(lock, body, length, &claims)) != TL_OK) return code;
    if ((code = in_force(lock, &claims, TL_OP_UNLOCK)) != TL_OK) return code;
    lock->session.grant = claims;
    lock->session.has_grant = true;
    tl_answer(lock, TL_GRANT, 0);
    return TL_OK;
}

uint8_t tl_take_proof(tl_lock *lock, const uint8_t *body, size_t length)
{
    const tl_claims *claims = &lock->session.grant;
    uint8_t code;
    if (lock->identity->profile != TL_PROFILE_B) return TL_NOT_ALLOWED;
    if (!tl_has_live_nonce(lock) || !lock->session.has_grant) return TL_NO_LIVE_NONCE;
    if ((code = in_force(lock, claims, TL_OP_UNLOCK)) != TL_OK) return code;
    if ((code = tl_check_holder(lock, claims, body, length, unlock_purpose)) != TL_OK) return code;
    return unlock(lock, claims, TL_PROVE);
}

uint8_t tl_take_capability(tl_lock *lock, const uint8_t *body, size_t length)
{
    tl_claims claims;
    uint8_t code;
    if (lock->identity->profile != TL_PROFILE_A) return TL_NOT_ALLOWED;
    if (!tl_has_live_nonce(lock)) return TL_NO_LIVE_NONCE;
    if (length < TL_MAC_BYTES) return TL_MALFORMED;
    length -= TL_MAC_BYTES;
    if ((code = tl_verify_capability(lock, body, length, body + length, unlock_purpose, &claims)) != TL_OK) return code;
    if ((code = in_force(lock, &claims, TL_OP_UNLOCK)) != TL_OK) return code;
    return unlock(lock, &claims, TL_UNLOCK_A);
}

/* Two grants, both proven: length 1, grant or claims, proof; twice. */
static uint8_t read_two(tl_lock *lock, const uint8_t *body, size_t length, tl_claims two[2])
{
    bool has_signatures = lock->identity->profile == TL_PROFILE_B;
    size_t proof_length = has_signatures ? TL_KEY_BYTES + TL_SIGNATURE_BYTES : TL_MAC_BYTES, at = 0;
    for (int n = 0; n < 2; n++) {
        if (at >= length || body[at] == 0 || length - at < 1 + (size_t)body[at] + proof_length) return TL_MALFORMED;
        const uint8_t *one = body + at + 1, *proof = one + body[at];
        uint8_t code;
        if (!has_signatures) {
            code = tl_verify_capability(lock, one, body[at], proof, rescue_purpose, &two[n]);
        } else if (lock->durable.issuer_count == 0) {
            code = TL_NOT_ALLOWED;
        } else {
            code = tl_verify_grant(lock, one, body[at], &two[n]);
            if (!code) code = tl_check_holder(lock, &two[n], proof, proof_length, rescue_purpose);
        }
        if (code) return code;
        at += 1 + (size_t)body[at] + proof_length;
    }
    return at == length ? TL_OK : TL_MALFORMED;
}

/* Neither lockout, battery, a full log nor an unknown time stands in its way. */
uint8_t tl_take_rescue(tl_lock *lock, const uint8_t *body, size_t length)
{
    tl_claims two[2];
    uint8_t data[2 * TL_ID_BYTES], code;
    if (!tl_has_live_nonce(lock)) return TL_NO_LIVE_NONCE;
    if ((code = read_two(lock, body, length, two)) != TL_OK) return code;
    for (int n = 0; n < 2; n++)
        if ((code = in_force(lock, &two[n], TL_OP_RESCUE)) != TL_OK) return code;
    if (memcmp(two[0].sub, two[1].sub, TL_ID_BYTES) == 0) return TL_BAD_HOLDER_PROOF;
    if (lock->awaited.kind) return TL_BUSY;
    (void)use_once(lock, &two[0]);
    (void)use_once(lock, &two[1]);
    opened_by(&lock->durable, two[0].cti, true);
    end_failures(&lock->durable);
    (void)tl_remember(lock, 0);
    memcpy(data, two[1].cti, TL_ID_BYTES);
    memcpy(data + TL_ID_BYTES, lock->session.gateway_id, TL_ID_BYTES);
    tl_log(lock, TL_EVENT_RESCUE, two[0].cti, data, sizeof data);
    lock->write_failed = false; /* people come before the log */
    return move(lock, TL_RESCUE, true, two[0].cti);
}

/* Never while anyone is inside, or nobody knows. */
uint8_t tl_take_relock(tl_lock *lock, const uint8_t *body, size_t length)
{
    const tl_durable *durable = &lock->durable;
    if (length != TL_ID_BYTES + 2) return TL_MALFORMED;
    if (!tl_has_live_nonce(lock)) return TL_NO_LIVE_NONCE;
    if (memcmp(durable->opener_cti, body, TL_ID_BYTES) != 0 || !durable->opener_may_relock) return TL_NOT_ALLOWED;
    if (body[TL_ID_BYTES] || body[TL_ID_BYTES + 1]) return TL_OCCUPIED;
    if (lock->is_open) return TL_JAMMED_OR_OPEN;
    if (lock->awaited.kind) return TL_BUSY;
    return move(lock, TL_RELOCK, false, body);
}

/* The bolt's end switch: an order is carried out, or a hand moved it. */
void tl_bolt_is_at(tl_lock *lock, bool is_unlocked)
{
    bool before = lock->is_unlocked;
    uint8_t kind = lock->awaited.kind, data[2 + TL_ID_BYTES] = {0, 0};
    lock->is_unlocked = is_unlocked;
    if (kind && lock->awaited.to_unlocked == is_unlocked) {
        lock->awaited.kind = 0;
        lock->is_jammed = false;
        memcpy(data + 2, lock->awaited.gateway_id, TL_ID_BYTES); /* after a headcount of 0: no other is locked on */
        if (kind == TL_RELOCK) tl_log(lock, TL_EVENT_RELOCK, lock->awaited.cti, data, sizeof data);
        tl_answer(lock, kind, 0);
    } else if (before != is_unlocked) {
        if (is_unlocked) {
            opened_by(&lock->durable, tl_zeros, true);
            (void)tl_keep(lock);
        }
        data[0] = is_unlocked;
        tl_log(lock, TL_EVENT_BY_HAND, tl_zeros, data, 1);
        tl_tell_news(lock);
    }
}

/* Whoever asked for a bolt that did not move in time is told. */
void tl_bolt_overdue(tl_lock *lock)
{
    uint8_t kind = lock->awaited.kind, to_unlocked = lock->awaited.to_unlocked;
    if (!kind || lock->now_s < lock->awaited.until_s) return;
    lock->awaited.kind = 0;
    lock->is_jammed = true;
    tl_log(lock, TL_EVENT_JAMMED, lock->awaited.cti, &to_unlocked, 1);
    tl_answer(lock, kind, TL_JAMMED_OR_OPEN);
}
