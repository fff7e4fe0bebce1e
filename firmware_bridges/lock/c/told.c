/* TIME, REVOKE, ROTATE, GETLOG, ACKLOG: what a lock is told, and what it tells. docs/specs/lock.md, section 4. */
#include "core.h"

enum { SIGNED = 1, MACED = 2, DELEGATED = 3, SPAN_BYTES = 8 };

/* The cloud's order, in the form of this lock's profile. */
static uint8_t read_order(tl_lock *lock, enum tl_kind kind, const uint8_t *body, size_t length, tl_order *order)
{
    uint8_t key[TL_KEY_BYTES], form = length ? body[0] : 0;
    if (form == SIGNED && lock->identity->profile == TL_PROFILE_B) {
        if (lock->durable.issuer_count == 0) return TL_NOT_ALLOWED;
        return tl_read_signed(lock, kind, body + 1, length - 1, order);
    }
    if (form == MACED && lock->identity->profile == TL_PROFILE_A && kind != TL_ROTATE) {
        tl_derive(lock, "ORDER1", NULL, 0, key);
        return tl_read_maced(lock, kind, body + 1, length - 1, key, order);
    }
    return TL_NOT_ALLOWED;
}

/* A TIME under a gateway's K_time: from 4, until 4, order. */
static uint8_t read_delegated(tl_lock *lock, const uint8_t *span, size_t length, tl_order *order)
{
    uint8_t key[TL_KEY_BYTES];
    if (length < SPAN_BYTES) return TL_MALFORMED;
    uint32_t from_s = tl_get32(span), until_s = tl_get32(span + 4);
    if (until_s <= from_s || until_s - from_s > TL_DAY_S) return TL_OUTSIDE_WINDOW;
    tl_part parts[] = {tl_bytes(lock->session.gateway_id, TL_ID_BYTES), tl_bytes(span, SPAN_BYTES)};
    tl_derive(lock, "TIMED1", parts, 2, key);
    return tl_read_maced(lock, TL_TIME, span + SPAN_BYTES, length - SPAN_BYTES, key, order);
}

static bool is_ours(const tl_lock *lock, const tl_order *order)
{
    return memcmp(order->lock_id, lock->identity->lock_id, TL_ID_BYTES) == 0;
}

uint8_t tl_take_time(tl_lock *lock, const uint8_t *body, size_t length)
{
    tl_order order;
    uint8_t data[2 + TL_ID_BYTES];
    if (!tl_has_live_nonce(lock)) return TL_NO_LIVE_NONCE;
    bool is_delegated = length && body[0] == DELEGATED;
    uint8_t code = is_delegated ? read_delegated(lock, body + 1, length - 1, &order)
                                : read_order(lock, TL_TIME, body, length, &order);
    if (code) return code;
    if (!is_ours(lock, &order)) return TL_WRONG_LOCK;
    if (memcmp(order.nonce, lock->session.nonce, TL_NONCE_BYTES) != 0) return TL_NO_LIVE_NONCE;
    if (is_delegated && (order.unix_s < tl_get32(body + 1) || order.unix_s > tl_get32(body + 5))) return TL_OUTSIDE_WINDOW;
    if (order.unix_s < lock->durable.time_floor_s) return TL_OUTSIDE_WINDOW;
    if (!is_delegated) {
        lock->durable.time_floor_s = order.unix_s;
        (void)tl_keep(lock);
    }
    lock->has_clock = true;
    lock->clock_at_s = lock->now_s;
    lock->clock_unix_s = order.unix_s;
    lock->clock_error_s = order.error_s;
    data[0] = body[0];
    memcpy(data + 1, lock->session.gateway_id, TL_ID_BYTES);
    data[1 + TL_ID_BYTES] = order.error_s;
    tl_log(lock, TL_EVENT_TIME_SET, tl_zeros, data, sizeof data);
    tl_answer(lock, TL_TIME, 0);
    return TL_OK;
}

/* Everything only grows. A raised gateway epoch ends the session that brought it. */
uint8_t tl_take_revoke(tl_lock *lock, const uint8_t *body, size_t length)
{
    tl_durable *durable = &lock->durable;
    tl_order order;
    tl_used one;
    uint8_t data[8], code = read_order(lock, TL_REVOKE, body, length, &order);
    if (code) return code;
    if (!is_ours(lock, &order)) return TL_WRONG_LOCK;
    bool is_new_epoch = order.gateway_epoch > durable->gateway_epoch;
    for (uint8_t at = 0; at < order.revoked_count; at++) {
        tl_forget(lock, order.revoked[at].cti, &one);
        one.ctr = order.revoked[at].ctr;
        one.is_revoked = true;
        durable->used[durable->used_count++] = one;
    }
    if (is_new_epoch) durable->gateway_epoch = order.gateway_epoch;
    if (tl_remember(lock, order.min_ctr)) {
        (void)tl_put32(tl_put32(data, durable->min_ctr), durable->gateway_epoch);
        tl_log(lock, TL_EVENT_REVOKED, order.revoked_count ? order.revoked[0].cti : tl_zeros, data, sizeof data);
    }
    lock->session.has_grant = false;
    tl_answer(lock, TL_REVOKE, 0);
    if (is_new_epoch) lock->session.is_open = false;
    return TL_OK;
}

/* The issuer's next key: the newest stays, the older one is forgotten. */
uint8_t tl_take_rotation(tl_lock *lock, const uint8_t *body, size_t length)
{
    tl_durable *durable = &lock->durable;
    tl_order order;
    uint8_t code = read_order(lock, TL_ROTATE, body, length, &order);
    if (code) return code;
    if (!is_ours(lock, &order)) return TL_WRONG_LOCK;
    bool is_held = false;
    for (uint8_t at = 0; at < durable->issuer_count; at++)
        if (memcmp(durable->issuers[at].kid, order.kid, 2) == 0 &&
            memcmp(durable->issuers[at].key, order.key, TL_KEY_BYTES) == 0)
            is_held = true;
    const tl_issuer newest = durable->issuers[durable->issuer_count - 1];
    if (!is_held && memcmp(order.kid, newest.kid, 2) <= 0) return TL_REVOKED_GRANT;
    if (!is_held) {
        durable->issuers[0] = newest;
        memcpy(durable->issuers[1].kid, order.kid, 2);
        memcpy(durable->issuers[1].key, order.key, TL_KEY_BYTES);
        durable->issuer_count = 2;
        (void)tl_keep(lock);
        tl_log(lock, TL_EVENT_ROTATED, tl_zeros, order.kid, 2);
    }
    tl_answer(lock, TL_ROTATE, 0);
    return TL_OK;
}

/* A page from the event asked for, or from the oldest kept. */
uint8_t tl_give_log(tl_lock *lock, const uint8_t *body, size_t length)
{
    uint8_t record[TL_RECORD_BYTES], head[TL_HEAD_BYTES], count = length == 5 ? body[4] : 0;
    if (count < 1 || count > TL_PAGE_EVENTS) return TL_MALFORMED;
    uint32_t first = tl_get32(body), oldest = lock->seq - lock->kept + 1;
    if (first < oldest) first = oldest;
    if (first > lock->seq + 1) first = lock->seq + 1;
    tl_head_after(lock, first - 1, head);
    uint8_t *plain = lock->work + TL_COUNTER_BYTES, *at = tl_put(tl_put32(plain, first), head, TL_HEAD_BYTES);
    for (uint32_t seq = first; seq <= lock->seq && seq - first < count; seq++) {
        tl_record(lock, seq, record);
        size_t data = record[TL_EVENT_FIXED_BYTES - 1];
        if (data > TL_EVENT_BYTES - TL_EVENT_FIXED_BYTES) break; /* flash that decayed: the chain shows it */
        at = tl_put(at, record, TL_EVENT_FIXED_BYTES + data);
    }
    tl_send_sealed(lock, TL_LOGPAGE, (size_t)(at - plain));
    return TL_OK;
}

/* Up to this event, with this head, the log is kept elsewhere. */
uint8_t tl_take_ack(tl_lock *lock, const uint8_t *body, size_t length)
{
    uint8_t head[TL_HEAD_BYTES], count[4];
    if (length != 4 + TL_HEAD_BYTES) return TL_MALFORMED;
    uint32_t seq = tl_get32(body);
    if (seq > lock->seq) return TL_MALFORMED;
    if (seq > lock->durable.acked_seq) {
        tl_head_after(lock, seq, head);
        if (memcmp(head, body + 4, TL_HEAD_BYTES) != 0) return TL_BAD_SIGNATURE;
        lock->durable.acked_seq = seq;
        (void)tl_keep(lock);
    }
    (void)tl_put32(count, lock->unlogged);
    if (lock->unlogged && tl_log(lock, TL_EVENT_SUPPRESSED, tl_zeros, count, sizeof count)) lock->unlogged = 0;
    tl_answer(lock, TL_ACKLOG, 0);
    return TL_OK;
}
