/* The lock: everything that can happen to it. docs/specs/lock.md. */
#include "core.h"

enum { MARK_LOW = 20, MARK_EMPTY = TL_BATTERY_LOW_PERCENT };

typedef uint8_t (*handler)(tl_lock *lock, const uint8_t *body, size_t length);

static handler handler_of(uint8_t kind)
{
    switch (kind) {
    case TL_GRANT: return tl_take_grant;
    case TL_PROVE: return tl_take_proof;
    case TL_UNLOCK_A: return tl_take_capability;
    case TL_RELOCK: return tl_take_relock;
    case TL_RESCUE: return tl_take_rescue;
    case TL_TIME: return tl_take_time;
    case TL_REVOKE: return tl_take_revoke;
    case TL_ROTATE: return tl_take_rotation;
    case TL_GETLOG: return tl_give_log;
    case TL_ACKLOG: return tl_take_ack;
    default: return NULL;
    }
}

static void begin(tl_lock *lock)
{
    lock->now_s = lock->port->seconds(lock->port->context) - lock->started_s;
    lock->write_failed = false;
}

void tl_boot(tl_lock *lock, const tl_identity *identity, const tl_crypto *crypto, const tl_port *port, bool is_unlocked,
             bool is_open)
{
    uint8_t data[5];
    memset(lock, 0, sizeof *lock);
    lock->identity = identity;
    lock->crypto = crypto;
    lock->port = port;
    lock->is_unlocked = is_unlocked;
    lock->is_open = is_open;
    lock->battery_percent = 100;
    lock->started_s = port->seconds(port->context);
    begin(lock);
    tl_recovered found = tl_recover(lock);
    tl_durable *durable = &lock->durable;
    if (!found.state_found) {
        durable->gateway_epoch = 1;
        durable->opener_may_relock = true;
        if (found.is_blank) {
            durable->issuer_count = identity->issuer_count;
            memcpy(durable->issuers, identity->issuers, sizeof durable->issuers);
        } else { /* void until it is commissioned anew */
            durable->min_ctr = durable->gateway_epoch = UINT32_MAX;
        }
    }
    if (durable->is_locked_out) lock->lockout_until_s = durable->lockout_s;
    durable->boot_counter++;
    (void)tl_keep(lock);
    for (data[0] = 2; found.states_torn > 0; found.states_torn--) tl_log(lock, TL_EVENT_TORN_WRITE, tl_zeros, data, 1);
    data[0] = 1;
    if (found.log_torn) tl_log(lock, TL_EVENT_TORN_WRITE, tl_zeros, data, 1);
    *tl_put32(data, durable->boot_counter) = tl_shown(lock);
    tl_log(lock, TL_EVENT_REBOOT, tl_zeros, data, sizeof data);
    tl_advertise(lock);
}

static void count_failure(tl_lock *lock)
{
    tl_durable *durable = &lock->durable;
    uint8_t data[2];
    if (durable->failures + 1 < TL_FAILURES) {
        durable->failures++;
        (void)tl_keep(lock);
        return;
    }
    uint32_t length_s = 2u * durable->lockout_s;
    if (length_s < TL_LOCKOUT_S) length_s = TL_LOCKOUT_S;
    if (length_s > TL_MAX_LOCKOUT_S) length_s = TL_MAX_LOCKOUT_S;
    durable->failures = 0;
    durable->lockout_s = (uint16_t)length_s;
    durable->is_locked_out = true;
    (void)tl_keep(lock);
    lock->lockout_until_s = lock->now_s + length_s;
    data[0] = (uint8_t)(length_s >> 8);
    data[1] = (uint8_t)length_s;
    tl_log(lock, TL_EVENT_LOCKOUT, tl_zeros, data, sizeof data);
}

static void end_lockout(tl_lock *lock)
{
    if (!lock->durable.is_locked_out || lock->now_s < lock->lockout_until_s) return;
    lock->durable.is_locked_out = false;
    (void)tl_keep(lock);
}

/* A whole message; the refusal, or TL_OK. */
static uint8_t take(tl_lock *lock)
{
    tl_partial *message = &lock->partial;
    uint8_t kind = message->kind;
    bool is_opening = kind == TL_GRANT || kind == TL_PROVE || kind == TL_UNLOCK_A;
    if (kind == TL_HELLO) return tl_hello(lock, message->body, message->received);
    handler handle = handler_of(kind);
    if (handle == NULL) return TL_MALFORMED;
    if (!lock->session.is_open) return TL_NO_LIVE_NONCE;
    uint8_t code = tl_open_body(lock, kind, message->body, message->received);
    if (code) {
        lock->session.is_open = false; /* whoever this is has not the session's key */
        return code;
    }
    if (lock->durable.is_locked_out && is_opening) return TL_LOCKED_OUT;
    code = handle(lock, message->body + TL_COUNTER_BYTES, (size_t)message->received - TL_SEALED_BYTES);
    if ((code == TL_BAD_SIGNATURE || code == TL_BAD_HOLDER_PROOF) && (is_opening || kind == TL_RESCUE)) count_failure(lock);
    return code;
}

/* Every refusal burns the nonce, is logged, and is the write's answer. */
static void deny(tl_lock *lock, uint8_t code, uint8_t kind)
{
    const tl_session *session = &lock->session;
    uint8_t data[2 + TL_ID_BYTES] = {code, kind};
    bool has_grant = session->is_open && session->has_grant;
    memcpy(data + 2, session->is_open ? session->gateway_id : tl_zeros, TL_ID_BYTES);
    tl_burn_nonce(lock);
    tl_log(lock, TL_EVENT_DENY, has_grant ? session->grant.cti : tl_zeros, data, sizeof data);
    lock->port->refuse(lock->port->context, lock->link, code);
}

static void drop_session(tl_lock *lock)
{
    memset(&lock->session, 0, sizeof lock->session);
    lock->partial.is_begun = false;
}

void tl_connected(tl_lock *lock, uint16_t link, uint16_t frame_bytes)
{
    begin(lock);
    if (lock->has_link && lock->link != link) {
        lock->port->drop(lock->port->context, link);
    } else {
        drop_session(lock);
        lock->has_link = true;
        lock->link = link;
        lock->frame_bytes = frame_bytes < TL_MIN_FRAME_BYTES ? TL_MIN_FRAME_BYTES
                            : frame_bytes > TL_FRAME_BYTES   ? TL_FRAME_BYTES
                                                             : frame_bytes;
        lock->heard_s = lock->now_s;
        lock->messages = 0;
    }
    tl_advertise(lock);
}

void tl_disconnected(tl_lock *lock, uint16_t link)
{
    begin(lock);
    if (lock->has_link && lock->link == link) {
        drop_session(lock);
        lock->has_link = false;
    }
    tl_advertise(lock);
}

void tl_written(tl_lock *lock, uint16_t link, const uint8_t *data, size_t length)
{
    begin(lock);
    if (!lock->has_link || lock->link != link) {
        lock->port->refuse(lock->port->context, link, TL_BUSY);
    } else {
        bool is_whole;
        lock->heard_s = lock->now_s;
        end_lockout(lock);
        uint8_t code = tl_join(&lock->partial, data, length, &is_whole);
        if (!code && is_whole) code = take(lock);
        if (code) deny(lock, code, length > 1 ? data[1] : 0);
    }
    tl_advertise(lock);
}

void tl_door_moved(tl_lock *lock, bool is_open)
{
    begin(lock);
    if (is_open != lock->is_open) {
        enum tl_event kind = !is_open ? TL_EVENT_CLOSED : lock->is_unlocked ? TL_EVENT_OPENED : TL_EVENT_FORCED;
        lock->is_open = is_open;
        tl_log(lock, kind, tl_zeros, NULL, 0);
        tl_tell_news(lock);
    }
    tl_advertise(lock);
}

void tl_bolt_moved(tl_lock *lock, bool is_unlocked)
{
    begin(lock);
    tl_bolt_is_at(lock, is_unlocked);
    tl_advertise(lock);
}

void tl_egress_used(tl_lock *lock)
{
    uint8_t kind = lock->awaited.kind;
    bool to_unlocked = lock->awaited.to_unlocked;
    begin(lock);
    memset(lock->durable.opener_cti, 0, TL_ID_BYTES);
    lock->durable.opener_may_relock = true;
    (void)tl_keep(lock);
    lock->is_unlocked = true;
    lock->awaited.kind = 0;
    tl_log(lock, TL_EVENT_EGRESS, tl_zeros, NULL, 0);
    if (kind) tl_answer(lock, kind, to_unlocked ? TL_OK : TL_JAMMED_OR_OPEN);
    tl_tell_news(lock);
    tl_advertise(lock);
}

void tl_tampered(tl_lock *lock, bool is_tampered)
{
    uint8_t data = is_tampered;
    begin(lock);
    if (is_tampered != lock->is_tampered) {
        lock->is_tampered = is_tampered;
        tl_log(lock, TL_EVENT_TAMPER, tl_zeros, &data, 1);
        tl_tell_news(lock);
    }
    tl_advertise(lock);
}

void tl_battery_at(tl_lock *lock, int percent)
{
    uint8_t before = lock->battery_percent, now = (uint8_t)(percent < 0 ? 0 : percent > 100 ? 100 : percent);
    begin(lock);
    lock->battery_percent = now;
    if ((now < MARK_LOW && before >= MARK_LOW) || (now < MARK_EMPTY && before >= MARK_EMPTY)) {
        tl_log(lock, TL_EVENT_BATTERY, tl_zeros, &now, 1);
        tl_tell_news(lock);
    }
    tl_advertise(lock);
}

void tl_tick(tl_lock *lock)
{
    begin(lock);
    end_lockout(lock);
    tl_bolt_overdue(lock);
    if (lock->has_link && lock->now_s - lock->heard_s >= TL_IDLE_S) {
        lock->port->drop(lock->port->context, lock->link);
        drop_session(lock);
        lock->has_link = false;
    }
    tl_advertise(lock);
}

void tl_info(tl_lock *lock, uint8_t info[TL_INFO_BYTES])
{
    uint32_t time_s;
    begin(lock);
    uint8_t *at = info;
    *at++ = TL_VERSION;
    *at++ = lock->identity->model;
    *at++ = 0;
    *at++ = (uint8_t)lock->identity->profile;
    at = tl_put(at, lock->identity->lock_id, TL_ID_BYTES);
    at = tl_put32(at, lock->identity->firmware);
    at = tl_put32(at, lock->durable.boot_counter);
    *at++ = tl_shown(lock);
    *at++ = lock->battery_percent;
    at = tl_put32(at, lock->seq);
    *at = tl_clock(lock, &time_s);
}
