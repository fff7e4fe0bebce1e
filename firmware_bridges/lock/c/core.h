/* What the files of the core share. Not for makers. */
#ifndef TOCSIN_LOCK_CORE_H
#define TOCSIN_LOCK_CORE_H

#include <string.h>

#include "tocsin_lock.h"

#define TL_MOST_CTR (UINT32_MAX - 1) /* so that min_ctr can rise above every grant */

enum tl_kind {
    TL_HELLO = 0x01,
    TL_GRANT,
    TL_PROVE,
    TL_UNLOCK_A,
    TL_RELOCK,
    TL_TIME,
    TL_REVOKE,
    TL_GETLOG,
    TL_ACKLOG,
    TL_RESCUE,
    TL_ROTATE,
    TL_CHALLENGE = 0x81,
    TL_RESULT,
    TL_LOGPAGE,
    TL_EVENT
};

enum tl_op { TL_OP_UNLOCK = 1, TL_OP_RELOCK = 2, TL_OP_RESCUE = 16 };

enum tl_event {
    TL_EVENT_UNLOCK = 1,
    TL_EVENT_RELOCK,
    TL_EVENT_OPENED,
    TL_EVENT_CLOSED,
    TL_EVENT_FORCED,
    TL_EVENT_TAMPER,
    TL_EVENT_DENY,
    TL_EVENT_LOCKOUT,
    TL_EVENT_BATTERY,
    TL_EVENT_REBOOT,
    TL_EVENT_TIME_SET,
    TL_EVENT_FIRMWARE,
    TL_EVENT_EGRESS,
    TL_EVENT_RESCUE,
    TL_EVENT_REVOKED,
    TL_EVENT_ROTATED,
    TL_EVENT_JAMMED,
    TL_EVENT_TORN_WRITE,
    TL_EVENT_SUPPRESSED,
    TL_EVENT_BY_HAND
};

enum {
    TL_VERSION = 1,
    TL_HEADER_BYTES = 6,
    TL_CBOR_BYTES = 512, /* longest CBOR that is looked at */
    TL_EVENT_FIXED_BYTES = 19,
    TL_EVENT_BYTES = 35,
    TL_CHECK_BYTES = 8,
    TL_COUNTER_BYTES = 4,
    TL_SEALED_BYTES = 20, /* what sealing adds to a body */
    TL_PAGE_EVENTS = 16,
    TL_NONCE_S = 30,
    TL_IDLE_S = 15,
    TL_BOLT_S = 3,
    TL_ADVERT_S = 900,
    TL_FAILURES = 5,
    TL_LOCKOUT_S = 60,
    TL_MAX_LOCKOUT_S = 900,
    TL_BATTERY_LOW_PERCENT = 10,
    TL_LOG_DENIALS = 384,
    TL_LOG_OPENINGS = 448,
    TL_DRIFT_S_PER_S = 10000,
    TL_LIFETIME_S = 1800,
    TL_DAY_S = 86400
};

extern const uint8_t tl_zeros[TL_ID_BYTES];

static inline tl_part tl_bytes(const void *data, size_t length)
{
    tl_part part = {data, length};
    return part;
}

static inline uint32_t tl_get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint8_t *tl_put32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
    return at + 4;
}

static inline uint8_t *tl_put(uint8_t *at, const void *data, size_t length)
{
    memcpy(at, data, length);
    return at + length;
}

/* keys.c: MACs, and what is derived from the lock's key */
bool tl_is_same(const uint8_t *one, const uint8_t *other, size_t length); /* in constant time */
bool tl_is_mac(const tl_lock *lock, const uint8_t *key, const uint8_t *presented, const tl_part *parts, size_t count);
void tl_derive(const tl_lock *lock, const char *purpose, const tl_part *parts, size_t count, uint8_t key[32]);
void tl_session_key(const tl_lock *lock, const uint8_t k_gw[32], const uint8_t *nonces, uint8_t key[32]);

/* cbor.c: what is in a payload. TL_MALFORMED for every form but the one right one */
typedef struct {
    const uint8_t *at, *end;
    bool is_bad;
} tl_reader;
typedef struct {
    const uint8_t *lock_id, *nonce, *kid, *key; /* TIME: nonce; ROTATE: kid, key */
    uint32_t unix_s, min_ctr, gateway_epoch;
    uint8_t error_s, revoked_count;
    struct {
        const uint8_t *cti;
        uint32_t ctr;
    } revoked[TL_REVOKED];
} tl_order;
tl_reader tl_reading(const uint8_t *data, size_t length);
bool tl_is_whole(const tl_reader *reader);
uint64_t tl_read_head(tl_reader *reader, unsigned major);
const uint8_t *tl_read_fixed(tl_reader *reader, size_t length);
void tl_expect(tl_reader *reader, const void *data, size_t length);
uint8_t tl_decode_claims(const uint8_t *data, size_t length, tl_claims *claims);
uint8_t tl_decode_order(enum tl_kind kind, const uint8_t *data, size_t length, tl_order *order);

/* grant.c: who says so */
uint8_t tl_verify_grant(tl_lock *lock, const uint8_t *data, size_t length, tl_claims *claims);
uint8_t tl_verify_capability(const tl_lock *lock, const uint8_t *claims_at, size_t length, const uint8_t *proof,
                             const char *purpose, tl_claims *claims);
uint8_t tl_check_claims(const tl_claims *claims, const uint8_t *lock_id, uint32_t now_s, uint32_t min_ctr);
uint8_t tl_check_holder(tl_lock *lock, const tl_claims *claims, const uint8_t *proof, size_t length, const char *purpose);
uint8_t tl_read_signed(tl_lock *lock, enum tl_kind kind, const uint8_t *data, size_t length, tl_order *order);
uint8_t tl_read_maced(const tl_lock *lock, enum tl_kind kind, const uint8_t *data, size_t length, const uint8_t key[32],
                      tl_order *order);

/* frames.c */
typedef void (*tl_frame_sink)(void *context, const uint8_t *frame, size_t length);
void tl_split(uint8_t kind, uint8_t message, size_t frame_bytes, const uint8_t *body, size_t length, tl_frame_sink sink,
              void *context);
uint8_t tl_join(tl_partial *partial, const uint8_t *frame, size_t length, bool *is_whole);

/* flash.c */
bool tl_keep(tl_lock *lock); /* writes the state if it changed; whether it had */
typedef struct {
    bool state_found, is_blank, log_torn;
    uint8_t states_torn;
} tl_recovered;
tl_recovered tl_recover(tl_lock *lock);

/* log.c: the hash chain */
void tl_first_head(const tl_lock *lock, uint8_t head[TL_HEAD_BYTES]);
void tl_next_head(const tl_lock *lock, const uint8_t *before, const uint8_t *event, size_t length, uint8_t head[TL_HEAD_BYTES]);
void tl_check_of(const tl_lock *lock, const char *purpose, const uint8_t *body, size_t length, uint8_t check[TL_CHECK_BYTES]);
bool tl_log(tl_lock *lock, enum tl_event kind, const uint8_t *cti, const uint8_t *data, size_t length);
void tl_record(const tl_lock *lock, uint32_t seq, uint8_t record[TL_RECORD_BYTES]); /* an event that is kept */
void tl_head_after(const tl_lock *lock, uint32_t seq, uint8_t head[TL_HEAD_BYTES]);
int64_t tl_unacked(const tl_lock *lock);

/* link.c: the session and what goes out */
uint8_t tl_clock(const tl_lock *lock, uint32_t *time_s); /* the quality; 0: seconds since the start */
uint8_t tl_shown(const tl_lock *lock);
uint8_t tl_hello(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_open_body(tl_lock *lock, uint8_t kind, uint8_t *body, size_t length); /* in place; the plain begins at byte 4 */
void tl_send_sealed(tl_lock *lock, uint8_t kind, size_t length); /* the plain lies in work, from byte 4 on */
void tl_answer(tl_lock *lock, uint8_t kind, uint8_t code);
void tl_tell_news(tl_lock *lock);
void tl_burn_nonce(tl_lock *lock);
void tl_advertise(tl_lock *lock);

/* opening.c and told.c: one function for each kind of message; the refusal, or TL_OK. Nothing changes before all is checked */
bool tl_has_live_nonce(const tl_lock *lock);
void tl_bolt_is_at(tl_lock *lock, bool is_unlocked);
void tl_bolt_overdue(tl_lock *lock);
bool tl_remember(tl_lock *lock, uint32_t least);
void tl_forget(tl_lock *lock, const uint8_t *cti, tl_used *one);
uint8_t tl_take_grant(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_proof(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_capability(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_relock(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_rescue(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_time(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_revoke(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_rotation(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_give_log(tl_lock *lock, const uint8_t *body, size_t length);
uint8_t tl_take_ack(tl_lock *lock, const uint8_t *body, size_t length);

#endif
