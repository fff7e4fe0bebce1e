/* The session of a link, what goes out on it, and what anyone may see. docs/specs/lock.md, sections 1 and 3. */
#include "core.h"

enum {
    SHOWN_UNLOCKED = 1,
    SHOWN_DOOR_OPEN = 2,
    SHOWN_TAMPER = 4,
    SHOWN_EVENTS_PENDING = 8,
    SHOWN_JAMMED = 16,
    SHOWN_LOCKED_OUT = 32,
    SHOWN_BATTERY_LOW = 64,
    SHOWN_TIME_UNKNOWN = 128,
    CHALLENGE_FIELDS = 64
};

uint8_t tl_clock(const tl_lock *lock, uint32_t *time_s)
{
    *time_s = lock->now_s;
    if (!lock->has_clock) return 0;
    uint32_t since_s = lock->now_s - lock->clock_at_s, error_s = lock->clock_error_s + since_s / TL_DRIFT_S_PER_S;
    if (error_s >= 60) return 0;
    *time_s = since_s > UINT32_MAX - lock->clock_unix_s ? UINT32_MAX : lock->clock_unix_s + since_s;
    return error_s < 10 ? 2 : 1;
}

uint8_t tl_shown(const tl_lock *lock)
{
    uint32_t time_s;
    int shown = 0;
    if (lock->is_unlocked) shown |= SHOWN_UNLOCKED;
    if (lock->is_open) shown |= SHOWN_DOOR_OPEN;
    if (lock->is_tampered) shown |= SHOWN_TAMPER;
    if (tl_unacked(lock) > 0) shown |= SHOWN_EVENTS_PENDING;
    if (lock->is_jammed) shown |= SHOWN_JAMMED;
    if (lock->durable.is_locked_out) shown |= SHOWN_LOCKED_OUT;
    if (lock->battery_percent < TL_BATTERY_LOW_PERCENT) shown |= SHOWN_BATTERY_LOW;
    if (tl_clock(lock, &time_s) == 0) shown |= SHOWN_TIME_UNKNOWN;
    return (uint8_t)shown;
}

static void send_frame(void *context, const uint8_t *frame, size_t length)
{
    const tl_lock *lock = context;
    enum tl_channel channel = frame[1] == TL_LOGPAGE ? TL_LOG : TL_RSP;
    lock->port->send(lock->port->context, lock->link, channel, frame, length);
}

/* The first `length` bytes of `work`, as they are. */
static void send_work(tl_lock *lock, uint8_t kind, size_t length)
{
    lock->messages++;
    tl_split(kind, (uint8_t)lock->messages, lock->frame_bytes, lock->work, length, send_frame, lock);
}

uint8_t tl_hello(tl_lock *lock, const uint8_t *body, size_t length)
{
    tl_session *session = &lock->session;
    uint8_t k_gw[TL_KEY_BYTES], epoch[4], nonces[2 * TL_NONCE_BYTES], mac[32];
    uint32_t time_s;
    if (length != TL_NONCE_BYTES + TL_ID_BYTES) return TL_MALFORMED;
    if (lock->awaited.kind) return TL_BUSY;
    memset(session, 0, sizeof *session);
    session->is_open = session->has_nonce = true;
    session->nonce_until_s = lock->now_s + TL_NONCE_S;
    memcpy(session->gateway_id, body + TL_NONCE_BYTES, TL_ID_BYTES);
    lock->crypto->random(lock->crypto->context, session->nonce, TL_NONCE_BYTES);
    (void)tl_put(tl_put(nonces, body, TL_NONCE_BYTES), session->nonce, TL_NONCE_BYTES);
    (void)tl_put32(epoch, lock->durable.gateway_epoch);
    tl_part parts[] = {tl_bytes(epoch, 4), tl_bytes(session->gateway_id, TL_ID_BYTES)};
    tl_derive(lock, "GW1", parts, 2, k_gw);
    tl_session_key(lock, k_gw, nonces, session->key);

    uint8_t quality = tl_clock(lock, &time_s);
    uint8_t *at = tl_put(lock->work, session->nonce, TL_NONCE_BYTES);
    at = tl_put(at, lock->identity->lock_id, TL_ID_BYTES);
    *at++ = (uint8_t)lock->identity->profile;
    at = tl_put32(at, lock->durable.boot_counter);
    at = tl_put32(at, lock->seq);
    at = tl_put(at, lock->head, TL_HEAD_BYTES);
    at = tl_put32(at, quality ? time_s : 0);
    *at++ = quality;
    at = tl_put32(at, lock->durable.min_ctr);
    at = tl_put32(at, lock->durable.gateway_epoch);
    *at++ = tl_shown(lock);
    *at++ = lock->battery_percent;
    tl_part vouched[] = {tl_bytes("CHAL1", 5), tl_bytes(body, TL_NONCE_BYTES), tl_bytes(lock->work, CHALLENGE_FIELDS)};
    lock->crypto->hmac_sha256(lock->crypto->context, k_gw, vouched, 3, mac);
    (void)tl_put(at, mac, TL_MAC_BYTES);
    send_work(lock, TL_CHALLENGE, CHALLENGE_FIELDS + TL_MAC_BYTES);
    return TL_OK;
}

static void fill_nonce(uint8_t nonce[12], bool from_lock, const uint8_t *counter)
{
    memset(nonce, 0, 8);
    nonce[0] = from_lock;
    memcpy(nonce + 8, counter, TL_COUNTER_BYTES);
}

/* A counter is taken once and only grows. */
uint8_t tl_open_body(tl_lock *lock, uint8_t kind, uint8_t *body, size_t length)
{
    uint8_t nonce[12], beside[2] = {TL_VERSION, kind};
    if (length < TL_SEALED_BYTES) return TL_MALFORMED;
    uint32_t count = tl_get32(body);
    if (count <= lock->session.taken) return TL_BAD_SIGNATURE;
    fill_nonce(nonce, false, body);
    if (!lock->crypto->unseal(lock->crypto->context, lock->session.key, nonce, beside, 2, body + TL_COUNTER_BYTES,
                              length - TL_SEALED_BYTES, body + length - TL_MAC_BYTES))
        return TL_BAD_SIGNATURE;
    lock->session.taken = count;
    return TL_OK;
}

void tl_send_sealed(tl_lock *lock, uint8_t kind, size_t length)
{
    uint8_t nonce[12], beside[2] = {TL_VERSION, kind}, *plain = lock->work + TL_COUNTER_BYTES;
    if (!lock->has_link || !lock->session.is_open) return;
    (void)tl_put32(lock->work, ++lock->session.sent);
    fill_nonce(nonce, true, lock->work);
    lock->crypto->seal(lock->crypto->context, lock->session.key, nonce, beside, 2, plain, length, plain + length);
    send_work(lock, kind, length + TL_SEALED_BYTES);
}

/* RESULT: a message was carried out. */
void tl_answer(tl_lock *lock, uint8_t kind, uint8_t code)
{
    uint8_t *at = lock->work + TL_COUNTER_BYTES;
    *at++ = kind;
    *at++ = code;
    at = tl_put32(at, lock->seq);
    (void)tl_put(at, lock->head, TL_HEAD_BYTES);
    tl_send_sealed(lock, TL_RESULT, 6 + TL_HEAD_BYTES);
}

/* EVENT: something happened by itself. */
void tl_tell_news(tl_lock *lock)
{
    uint8_t *at = lock->work + TL_COUNTER_BYTES;
    *at++ = tl_shown(lock);
    *at++ = lock->battery_percent;
    (void)tl_put32(at, lock->seq);
    tl_send_sealed(lock, TL_EVENT, 6);
}

void tl_burn_nonce(tl_lock *lock)
{
    lock->session.has_nonce = lock->session.has_grant = false;
}

/* A new advertisement, if the state changed or the old one is old. */
void tl_advertise(tl_lock *lock)
{
    uint8_t data[TL_ADVERT_BYTES], key[TL_KEY_BYTES], mac[32], shown = tl_shown(lock);
    if (lock->has_advertised && shown == lock->advertised && lock->now_s - lock->advertised_s < TL_ADVERT_S) return;
    tl_derive(lock, "ADV1", NULL, 0, key);
    data[0] = TL_VERSION;
    lock->crypto->random(lock->crypto->context, data + 1, 4);
    tl_part parts[] = {tl_bytes("ADV1", 4), tl_bytes(data + 1, 4)};
    lock->crypto->hmac_sha256(lock->crypto->context, key, parts, 2, mac);
    memcpy(data + 5, mac, 4);
    data[9] = shown;
    lock->port->advertise(lock->port->context, data);
    lock->has_advertised = true;
    lock->advertised = shown;
    lock->advertised_s = lock->now_s;
}
