/* Deterministic CBOR (RFC 8949, 4.2.1), read by its one possible form: every other byte is malformed. docs/specs/grant.md. */
#include "core.h"

enum { UNSIGNED = 0, BYTES = 2, ARRAY = 4 };

static const uint8_t private_key[] = {0x3a, 0x00, 0x01, 0x11, 0x70}; /* -70001 */

tl_reader tl_reading(const uint8_t *data, size_t length)
{
    tl_reader reader = {data, data + length, length > TL_CBOR_BYTES};
    return reader;
}

bool tl_is_whole(const tl_reader *reader)
{
    return !reader->is_bad && reader->at == reader->end;
}

static size_t left(const tl_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The argument of an item of this major type; 0 and `is_bad` where it is another, or has a shorter form. */
uint64_t tl_read_head(tl_reader *reader, unsigned major)
{
    uint64_t value = 0;
    if (reader->is_bad || left(reader) == 0 || reader->at[0] >> 5 != major || (reader->at[0] & 31) > 27) {
        reader->is_bad = true;
        return 0;
    }
    unsigned code = *reader->at++ & 31u;
    if (code < 24) return code;
    size_t size = (size_t)1 << (code - 24);
    if (left(reader) < size) {
        reader->is_bad = true;
        return 0;
    }
    for (size_t at = 0; at < size; at++) value = value << 8 | *reader->at++;
    if (value < 24 || (size > 1 && value >> (4 * size) == 0)) reader->is_bad = true;
    return value;
}

static uint32_t read_uint(tl_reader *reader, uint32_t most)
{
    uint64_t value = tl_read_head(reader, UNSIGNED);
    if (value > most) reader->is_bad = true;
    return (uint32_t)value;
}

/* A byte string of this length; never NULL, so that the caller looks at `is_bad` once, at the end. */
const uint8_t *tl_read_fixed(tl_reader *reader, size_t length)
{
    const uint8_t *start = reader->at;
    if (tl_read_head(reader, BYTES) != length || reader->is_bad || left(reader) < length) {
        reader->is_bad = true;
        return start;
    }
    start = reader->at;
    reader->at += length;
    return start;
}

static void copy_id(tl_reader *reader, uint8_t id[TL_ID_BYTES])
{
    const uint8_t *found = tl_read_fixed(reader, TL_ID_BYTES);
    if (!reader->is_bad) memcpy(id, found, TL_ID_BYTES);
}

/* Exactly these bytes. */
void tl_expect(tl_reader *reader, const void *data, size_t length)
{
    if (reader->is_bad || left(reader) < length || memcmp(reader->at, data, length) != 0) {
        reader->is_bad = true;
        return;
    }
    reader->at += length;
}

uint8_t tl_decode_claims(const uint8_t *data, size_t length, tl_claims *claims)
{
    tl_reader reader = tl_reading(data, length);
    memset(claims, 0, sizeof *claims);
    tl_expect(&reader, "\xa6\x02", 2);
    copy_id(&reader, claims->sub);
    tl_expect(&reader, "\x03", 1);
    copy_id(&reader, claims->aud);
    tl_expect(&reader, "\x04", 1);
    claims->exp = read_uint(&reader, UINT32_MAX);
    tl_expect(&reader, "\x05", 1);
    claims->nbf = read_uint(&reader, UINT32_MAX);
    tl_expect(&reader, "\x07", 1);
    copy_id(&reader, claims->cti);
    tl_expect(&reader, private_key, sizeof private_key);
    uint64_t parts = tl_read_head(&reader, ARRAY);
    (void)tl_read_fixed(&reader, TL_ID_BYTES); /* the permit: the cloud's business */
    claims->ctr = read_uint(&reader, TL_MOST_CTR);
    claims->ops = (uint8_t)read_uint(&reader, UINT8_MAX);
    claims->uses = (uint8_t)read_uint(&reader, UINT8_MAX);
    claims->has_gw = parts == 5;
    if (claims->has_gw) copy_id(&reader, claims->gw);
    if (!tl_is_whole(&reader) || (parts != 4 && parts != 5)) return TL_MALFORMED;
    if (claims->ops == 0 || claims->ops & ~(TL_OP_UNLOCK | TL_OP_RELOCK | TL_OP_RESCUE)) return TL_MALFORMED;
    if (claims->ops & TL_OP_RESCUE && claims->ops != TL_OP_RESCUE) return TL_MALFORMED;
    if (claims->uses == 0 || claims->exp <= claims->nbf) return TL_MALFORMED;
    uint32_t longest_s = claims->ops == TL_OP_RESCUE ? TL_DAY_S : TL_LIFETIME_S;
    return claims->exp - claims->nbf > longest_s ? TL_OUTSIDE_WINDOW : TL_OK;
}

static void read_revoke(tl_reader *reader, tl_order *order)
{
    uint64_t parts = tl_read_head(reader, ARRAY);
    if (parts < 2 || parts % 2 || parts > 2 + 2 * TL_REVOKED) reader->is_bad = true;
    order->min_ctr = read_uint(reader, UINT32_MAX);
    order->gateway_epoch = read_uint(reader, UINT32_MAX);
    for (uint64_t at = 2; at < parts && !reader->is_bad; at += 2) {
        order->revoked[order->revoked_count].cti = tl_read_fixed(reader, TL_ID_BYTES);
        order->revoked[order->revoked_count++].ctr = read_uint(reader, TL_MOST_CTR);
    }
}

/* The pointers in `order` are into `data`. */
uint8_t tl_decode_order(enum tl_kind kind, const uint8_t *data, size_t length, tl_order *order)
{
    tl_reader reader = tl_reading(data, length);
    memset(order, 0, sizeof *order);
    tl_expect(&reader, kind == TL_TIME ? "\xa4\x03" : "\xa2\x03", 2);
    order->lock_id = tl_read_fixed(&reader, TL_ID_BYTES);
    if (kind == TL_TIME) {
        tl_expect(&reader, "\x06", 1);
        order->unix_s = read_uint(&reader, UINT32_MAX);
        tl_expect(&reader, "\x0a", 1);
        order->nonce = tl_read_fixed(&reader, TL_NONCE_BYTES);
    }
    tl_expect(&reader, private_key, sizeof private_key);
    if (kind == TL_TIME) {
        tl_expect(&reader, "\x81", 1);
        order->error_s = (uint8_t)read_uint(&reader, 59);
    } else if (kind == TL_ROTATE) {
        tl_expect(&reader, "\x82", 1);
        order->kid = tl_read_fixed(&reader, 2);
        order->key = tl_read_fixed(&reader, TL_KEY_BYTES);
    } else {
        read_revoke(&reader, order);
    }
    return tl_is_whole(&reader) ? TL_OK : TL_MALFORMED;
}
