/* Messages in frames that fit one write or one notification. docs/specs/lock.md, section 2. */
#include "core.h"

enum { LAST = 0x80 };

void tl_split(uint8_t kind, uint8_t message, size_t frame_bytes, const uint8_t *body, size_t length, tl_frame_sink sink,
              void *context)
{
    uint8_t frame[TL_FRAME_BYTES];
    size_t room = frame_bytes - TL_HEADER_BYTES, at = 0;
    uint8_t part = 0;
    do {
        size_t piece = length - at < room ? length - at : room;
        frame[0] = TL_VERSION;
        frame[1] = kind;
        frame[2] = message;
        frame[3] = (uint8_t)(part++ | (at + piece == length ? LAST : 0));
        frame[4] = (uint8_t)(length >> 8);
        frame[5] = (uint8_t)length;
        if (piece) memcpy(frame + TL_HEADER_BYTES, body + at, piece);
        sink(context, frame, TL_HEADER_BYTES + piece);
        at += piece;
    } while (at < length);
}

static bool is_kind(uint8_t kind)
{
    return (kind >= TL_HELLO && kind <= TL_ROTATE) || (kind >= TL_CHALLENGE && kind <= TL_EVENT);
}

/* Takes one frame more; the refusal, or TL_OK, with `is_whole` once the message is. What was begun is dropped with a refusal. */
uint8_t tl_join(tl_partial *partial, const uint8_t *frame, size_t length, bool *is_whole)
{
    bool was_begun = partial->is_begun;
    *is_whole = partial->is_begun = false;
    if (length > 0 && frame[0] != TL_VERSION) return TL_UNSUPPORTED_VERSION;
    if (length < TL_HEADER_BYTES || length > TL_FRAME_BYTES || !is_kind(frame[1])) return TL_MALFORMED;
    uint8_t part = frame[3] & (uint8_t)~LAST;
    uint16_t announced = (uint16_t)(frame[4] << 8 | frame[5]);
    size_t piece = length - TL_HEADER_BYTES;
    if (announced > TL_BODY_BYTES) return TL_MALFORMED;
    if (part == 0) {
        partial->kind = frame[1];
        partial->message = frame[2];
        partial->length = announced;
        partial->parts = 0;
        partial->received = 0;
    } else if (!was_begun || partial->kind != frame[1] || partial->message != frame[2] || partial->length != announced ||
               partial->parts != part) {
        return TL_MALFORMED;
    }
    if (partial->received + piece > announced) return TL_MALFORMED;
    bool is_last = frame[3] & LAST;
    if (is_last != (partial->received + piece == announced)) return TL_MALFORMED;
    if (piece) memcpy(partial->body + partial->received, frame + TL_HEADER_BYTES, piece);
    partial->received = (uint16_t)(partial->received + piece);
    partial->parts = (uint8_t)(part + 1);
    partial->is_begun = !is_last;
    *is_whole = is_last;
    return TL_OK;
}
