/* The log: events in a hash chain, one slot of flash each. docs/specs/lock.md, section 6. */
#include "core.h"

void tl_first_head(const tl_lock *lock, uint8_t head[TL_HEAD_BYTES])
{
    uint8_t digest[32];
    tl_part parts[] = {tl_bytes("LOG1", 4), tl_bytes(lock->identity->lock_id, TL_ID_BYTES)};
    lock->crypto->sha256(lock->crypto->context, parts, 2, digest);
    memcpy(head, digest, TL_HEAD_BYTES);
}

void tl_next_head(const tl_lock *lock, const uint8_t *before, const uint8_t *event, size_t length, uint8_t head[TL_HEAD_BYTES])
{
    uint8_t digest[32];
    tl_part parts[] = {tl_bytes(before, TL_HEAD_BYTES), tl_bytes(event, length)};
    lock->crypto->sha256(lock->crypto->context, parts, 2, digest);
    memcpy(head, digest, TL_HEAD_BYTES);
}

void tl_check_of(const tl_lock *lock, const char *purpose, const uint8_t *body, size_t length, uint8_t check[TL_CHECK_BYTES])
{
    uint8_t digest[32];
    tl_part parts[] = {tl_bytes(purpose, 4), tl_bytes(body, length)};
    lock->crypto->sha256(lock->crypto->context, parts, 2, digest);
    memcpy(check, digest, TL_CHECK_BYTES);
}

int64_t tl_unacked(const tl_lock *lock)
{
    return (int64_t)lock->seq - (int64_t)lock->durable.acked_seq;
}

/* Writes an event; false where there is no room, or flash failed, and it is only counted. */
bool tl_log(tl_lock *lock, enum tl_event kind, const uint8_t *cti, const uint8_t *data, size_t length)
{
    uint8_t record[TL_RECORD_BYTES] = {0}, head[TL_HEAD_BYTES], base[TL_RECORD_BYTES];
    bool is_minor = kind == TL_EVENT_DENY || kind == TL_EVENT_LOCKOUT || kind == TL_EVENT_BATTERY;
    uint32_t seq = lock->seq + 1, slot = lock->seq % TL_LOG_SLOTS, time_s;
    if (tl_unacked(lock) >= (is_minor ? TL_LOG_DENIALS : TL_LOG_SLOTS)) {
        lock->unlogged++;
        return false;
    }
    uint8_t quality = tl_clock(lock, &time_s);
    uint8_t *at = tl_put32(record, seq);
    at = tl_put32(at, time_s);
    *at++ = quality;
    *at++ = (uint8_t)kind;
    at = tl_put(at, cti, TL_ID_BYTES);
    *at++ = (uint8_t)length;
    if (length) memcpy(at, data, length);
    tl_next_head(lock, lock->head, record, TL_EVENT_FIXED_BYTES + length, head);
    memcpy(record + TL_EVENT_BYTES, head, TL_HEAD_BYTES);
    tl_check_of(lock, "REC1", record, TL_RECORD_BYTES - TL_CHECK_BYTES, record + TL_RECORD_BYTES - TL_CHECK_BYTES);
    if (lock->kept == TL_LOG_SLOTS) tl_record(lock, seq - TL_LOG_SLOTS, base);
    if (!lock->port->write_slot(lock->port->context, TL_AREA_LOG, slot, record, sizeof record)) {
        lock->write_failed = true;
        lock->unlogged++;
        return false;
    }
    if (lock->kept == TL_LOG_SLOTS)
        memcpy(lock->base, base + TL_EVENT_BYTES, TL_HEAD_BYTES);
    else
        lock->kept++;
    lock->seq = seq;
    memcpy(lock->head, head, TL_HEAD_BYTES);
    return true;
}

void tl_record(const tl_lock *lock, uint32_t seq, uint8_t record[TL_RECORD_BYTES])
{
    lock->port->read_slot(lock->port->context, TL_AREA_LOG, (seq - 1) % TL_LOG_SLOTS, 0, record, TL_RECORD_BYTES);
}

/* Of the events kept; the head before the first of them otherwise. */
void tl_head_after(const tl_lock *lock, uint32_t seq, uint8_t head[TL_HEAD_BYTES])
{
    uint8_t record[TL_RECORD_BYTES];
    if (seq > lock->seq - lock->kept) {
        tl_record(lock, seq, record);
        memcpy(head, record + TL_EVENT_BYTES, TL_HEAD_BYTES);
    } else {
        memcpy(head, lock->base, TL_HEAD_BYTES);
    }
}
