/* State and log through a power cut: what is written, and what a start makes of it. docs/specs/lock.md, section 6. */
#include "core.h"

enum { BODY_BYTES = TL_STATE_BYTES - TL_CHECK_BYTES, PIECE_BYTES = 64 };

static void encode_state(tl_lock *lock)
{
    const tl_durable *durable = &lock->durable;
    uint8_t *at = lock->work;
    memset(lock->work, 0, sizeof lock->work);
    at = tl_put32(at, durable->generation);
    at = tl_put32(at, durable->boot_counter);
    at = tl_put32(at, durable->min_ctr);
    at = tl_put32(at, durable->gateway_epoch);
    at = tl_put32(at, durable->time_floor_s);
    at = tl_put32(at, durable->acked_seq);
    *at++ = durable->failures;
    *at++ = (uint8_t)(durable->lockout_s >> 8);
    *at++ = (uint8_t)durable->lockout_s;
    *at++ = durable->is_locked_out;
    at = tl_put(at, durable->opener_cti, TL_ID_BYTES);
    *at++ = durable->opener_may_relock;
    *at++ = durable->issuer_count;
    for (uint8_t n = 0; n < durable->issuer_count; n++) {
        at = tl_put(at, durable->issuers[n].kid, 2);
        at = tl_put(at, durable->issuers[n].key, TL_KEY_BYTES);
    }
    *at++ = durable->used_count;
    for (uint8_t n = 0; n < durable->used_count; n++) {
        at = tl_put(at, durable->used[n].cti, TL_ID_BYTES);
        at = tl_put32(at, durable->used[n].ctr);
        *at++ = durable->used[n].left;
        *at++ = durable->used[n].is_revoked;
    }
    tl_check_of(lock, "STA1", lock->work, BODY_BYTES, lock->work + BODY_BYTES);
}

/* Whether flash holds exactly what lies in `work`. */
static bool is_stored(const tl_lock *lock, uint32_t slot)
{
    uint8_t piece[PIECE_BYTES];
    for (size_t at = 0; at < TL_STATE_BYTES; at += PIECE_BYTES) {
        lock->port->read_slot(lock->port->context, TL_AREA_STATE, slot, at, piece, PIECE_BYTES);
        if (memcmp(piece, lock->work + at, PIECE_BYTES) != 0) return false;
    }
    return true;
}

bool tl_keep(tl_lock *lock)
{
    uint32_t *generation = &lock->durable.generation;
    encode_state(lock);
    if (is_stored(lock, *generation % TL_STATE_SLOTS)) return false;
    ++*generation;
    encode_state(lock);
    if (!lock->port->write_slot(lock->port->context, TL_AREA_STATE, *generation % TL_STATE_SLOTS, lock->work, TL_STATE_BYTES)) {
        --*generation;
        lock->write_failed = true;
    }
    return true;
}

static bool is_blank(const uint8_t *data, size_t length)
{
    while (length > 0)
        if (data[--length] != 0xFF) return false;
    return true;
}

/* The state that lies in `work`; false where it is not whole. */
static bool decode_state(const tl_lock *lock, tl_durable *durable)
{
    uint8_t check[TL_CHECK_BYTES];
    const uint8_t *at = lock->work;
    tl_check_of(lock, "STA1", at, BODY_BYTES, check);
    if (memcmp(check, at + BODY_BYTES, TL_CHECK_BYTES) != 0) return false;
    memset(durable, 0, sizeof *durable);
    durable->generation = tl_get32(at);
    durable->boot_counter = tl_get32(at + 4);
    durable->min_ctr = tl_get32(at + 8);
    durable->gateway_epoch = tl_get32(at + 12);
    durable->time_floor_s = tl_get32(at + 16);
    durable->acked_seq = tl_get32(at + 20);
    durable->failures = at[24];
    durable->lockout_s = (uint16_t)(at[25] << 8 | at[26]);
    durable->is_locked_out = at[27] != 0;
    memcpy(durable->opener_cti, at + 28, TL_ID_BYTES);
    durable->opener_may_relock = at[36] != 0;
    durable->issuer_count = at[37];
    at += 38;
    if (durable->issuer_count > TL_ISSUERS) return false;
    for (uint8_t n = 0; n < durable->issuer_count; n++, at += 2 + TL_KEY_BYTES) {
        memcpy(durable->issuers[n].kid, at, 2);
        memcpy(durable->issuers[n].key, at + 2, TL_KEY_BYTES);
    }
    durable->used_count = *at++;
    if (durable->used_count > TL_USED_GRANTS) return false;
    for (uint8_t n = 0; n < durable->used_count; n++, at += 14) {
        memcpy(durable->used[n].cti, at, TL_ID_BYTES);
        durable->used[n].ctr = tl_get32(at + 8);
        durable->used[n].left = at[12];
        durable->used[n].is_revoked = at[13] != 0;
    }
    return true;
}

static void recover_state(tl_lock *lock, tl_recovered *found)
{
    static const uint32_t none = UINT32_MAX;
    uint32_t newest = none, generation = 0;
    for (uint32_t slot = 0; slot < TL_STATE_SLOTS; slot++) {
        lock->port->read_slot(lock->port->context, TL_AREA_STATE, slot, 0, lock->work, TL_STATE_BYTES);
        if (decode_state(lock, &lock->durable) && lock->durable.generation % TL_STATE_SLOTS == slot) {
            if (newest == none || lock->durable.generation > generation) {
                newest = slot;
                generation = lock->durable.generation;
            }
        } else if (!is_blank(lock->work, TL_STATE_BYTES)) {
            found->states_torn++;
            found->is_blank = false;
        }
    }
    memset(&lock->durable, 0, sizeof lock->durable);
    if (newest == none) return;
    lock->port->read_slot(lock->port->context, TL_AREA_STATE, newest, 0, lock->work, TL_STATE_BYTES);
    found->state_found = decode_state(lock, &lock->durable);
}

/* The record in a slot; 0 where it is not whole or lies elsewhere by right, else its number. */
static uint32_t whole_record(const tl_lock *lock, uint32_t slot, uint8_t record[TL_RECORD_BYTES])
{
    uint8_t check[TL_CHECK_BYTES];
    lock->port->read_slot(lock->port->context, TL_AREA_LOG, slot, 0, record, TL_RECORD_BYTES);
    tl_check_of(lock, "REC1", record, TL_RECORD_BYTES - TL_CHECK_BYTES, check);
    if (memcmp(check, record + TL_RECORD_BYTES - TL_CHECK_BYTES, TL_CHECK_BYTES) != 0) return 0;
    if (record[TL_EVENT_FIXED_BYTES - 1] > TL_EVENT_BYTES - TL_EVENT_FIXED_BYTES) return 0;
    uint32_t seq = tl_get32(record);
    return seq != 0 && (seq - 1) % TL_LOG_SLOTS == slot ? seq : 0;
}

/* The longest linked run up to the newest whole event. */
static void recover_log(tl_lock *lock, tl_recovered *found)
{
    uint8_t record[TL_RECORD_BYTES], before[TL_RECORD_BYTES], linked[TL_HEAD_BYTES];
    for (uint32_t slot = 0; slot < TL_LOG_SLOTS; slot++) {
        uint32_t seq = whole_record(lock, slot, record);
        if (seq > lock->seq) lock->seq = seq;
    }
    uint32_t next = lock->seq % TL_LOG_SLOTS, oldest = whole_record(lock, next, record);
    bool is_oldest = oldest != 0 && oldest + TL_LOG_SLOTS == lock->seq + 1;
    found->log_torn = !is_blank(record, sizeof record) && !is_oldest;
    tl_first_head(lock, lock->base);
    memcpy(lock->head, lock->base, TL_HEAD_BYTES);
    if (lock->seq == 0) return;
    found->is_blank = false;
    (void)whole_record(lock, (lock->seq - 1) % TL_LOG_SLOTS, record);
    memcpy(lock->head, record + TL_EVENT_BYTES, TL_HEAD_BYTES);
    for (lock->kept = 1; lock->kept < lock->seq; lock->kept++) {
        uint32_t seq = lock->seq - lock->kept;
        if (whole_record(lock, (seq - 1) % TL_LOG_SLOTS, before) != seq) break;
        size_t length = TL_EVENT_FIXED_BYTES + (size_t)record[TL_EVENT_FIXED_BYTES - 1];
        tl_next_head(lock, before + TL_EVENT_BYTES, record, length, linked);
        if (memcmp(linked, record + TL_EVENT_BYTES, TL_HEAD_BYTES) != 0) break;
        memcpy(record, before, sizeof record);
    }
    if (lock->kept == lock->seq) return;
    memcpy(lock->base, record + TL_EVENT_BYTES, TL_HEAD_BYTES); /* the oldest one's head is where the chain begins now */
    lock->kept--;
}

tl_recovered tl_recover(tl_lock *lock)
{
    tl_recovered found = {false, true, false, 0};
    recover_state(lock, &found);
    recover_log(lock, &found);
    if (found.log_torn) found.is_blank = false;
    return found;
}
