/* Who says so: COSE_Sign1 of an issuer (profile B), capabilities and MACs (profile A), holders. docs/specs/grant.md. */
#include "core.h"

enum { BYTES = 2, PROTECTED_BYTES = 8 };

static const uint8_t *issuer_key(const tl_lock *lock, const uint8_t *kid)
{
    for (uint8_t at = 0; at < lock->durable.issuer_count; at++)
        if (memcmp(lock->durable.issuers[at].kid, kid, 2) == 0) return lock->durable.issuers[at].key;
    return NULL;
}

static const char *purpose_of(enum tl_kind kind)
{
    return kind == TL_TIME ? "TIME1" : kind == TL_REVOKE ? "RVOK1" : "ROTA1";
}

/* 18([<<{1: -8, 4: kid}>>, {}, payload, signature]): finds the payload, if one of the issuer's keys signed it. */
static uint8_t verify_sign1(tl_lock *lock, const uint8_t *data, size_t length, const char *beside, const uint8_t **payload,
                            size_t *payload_length)
{
    tl_reader reader = tl_reading(data, length);
    tl_expect(&reader, "\xd2\x84", 2);
    const uint8_t *protected_at = reader.at;
    tl_expect(&reader, "\x47\xa2\x01\x27\x04\x42", 6);
    const uint8_t *kid = reader.at;
    if (reader.is_bad || reader.end - reader.at < 2) return TL_MALFORMED;
    reader.at += 2;
    tl_expect(&reader, "\xa0", 1);
    const uint8_t *payload_at = reader.at;
    uint64_t size = tl_read_head(&reader, BYTES);
    if (reader.is_bad || size > (uint64_t)(reader.end - reader.at)) return TL_MALFORMED;
    *payload = reader.at;
    *payload_length = (size_t)size;
    reader.at += size;
    const uint8_t *payload_end = reader.at;
    const uint8_t *signature = tl_read_fixed(&reader, TL_SIGNATURE_BYTES);
    if (!tl_is_whole(&reader)) return TL_MALFORMED;
    const uint8_t *key = issuer_key(lock, kid);
    if (key == NULL) return TL_BAD_SIGNATURE;
    /* Sig_structure (RFC 9052, 4.4): both byte strings stand in it as they came, heads included */
    size_t beside_length = strlen(beside);
    uint8_t *at = tl_put(lock->work, "\x84\x6aSignature1", 12);
    at = tl_put(at, protected_at, PROTECTED_BYTES);
    *at++ = (uint8_t)(BYTES << 5 | beside_length);
    at = tl_put(at, beside, beside_length);
    at = tl_put(at, payload_at, (size_t)(payload_end - payload_at));
    bool is_good = lock->crypto->verify(lock->crypto->context, key, signature, lock->work, (size_t)(at - lock->work));
    return is_good ? TL_OK : TL_BAD_SIGNATURE;
}

uint8_t tl_verify_grant(tl_lock *lock, const uint8_t *data, size_t length, tl_claims *claims)
{
    const uint8_t *payload;
    size_t payload_length;
    if (length > TL_GRANT_BYTES) return TL_MALFORMED;
    uint8_t code = verify_sign1(lock, data, length, "", &payload, &payload_length);
    return code ? code : tl_decode_claims(payload, payload_length, claims);
}

/* Claims with the MAC of the key that belongs to exactly these claims. */
uint8_t tl_verify_capability(const tl_lock *lock, const uint8_t *claims_at, size_t length, const uint8_t *proof,
                             const char *purpose, tl_claims *claims)
{
    uint8_t key[TL_KEY_BYTES], code = tl_decode_claims(claims_at, length, claims);
    if (code) return code;
    if (memcmp(claims->aud, lock->identity->lock_id, TL_ID_BYTES) != 0) return TL_WRONG_LOCK;
    tl_part exact = tl_bytes(claims_at, length);
    tl_derive(lock, "GRANT1", &exact, 1, key);
    tl_part parts[] = {tl_bytes(purpose, strlen(purpose)), tl_bytes(lock->session.nonce, TL_NONCE_BYTES),
                       tl_bytes(lock->identity->lock_id, TL_ID_BYTES)};
    return tl_is_mac(lock, key, proof, parts, 3) ? TL_OK : TL_BAD_SIGNATURE;
}

uint8_t tl_check_claims(const tl_claims *claims, const uint8_t *lock_id, uint32_t now_s, uint32_t min_ctr)
{
    if (memcmp(claims->aud, lock_id, TL_ID_BYTES) != 0) return TL_WRONG_LOCK;
    if (now_s < claims->nbf || now_s >= claims->exp) return TL_OUTSIDE_WINDOW;
    return claims->ctr < min_ctr ? TL_REVOKED_GRANT : TL_OK;
}

/* `proof` is the holder's key, then the signature over this session's nonce. */
uint8_t tl_check_holder(tl_lock *lock, const tl_claims *claims, const uint8_t *proof, size_t length, const char *purpose)
{
    uint8_t digest[32], message[5 + TL_NONCE_BYTES + 2 * TL_ID_BYTES];
    if (length != TL_KEY_BYTES + TL_SIGNATURE_BYTES) return TL_MALFORMED;
    tl_part key = tl_bytes(proof, TL_KEY_BYTES);
    lock->crypto->sha256(lock->crypto->context, &key, 1, digest);
    if (memcmp(digest, claims->sub, TL_ID_BYTES) != 0) return TL_BAD_HOLDER_PROOF;
    uint8_t *at = tl_put(message, purpose, 5);
    at = tl_put(at, lock->session.nonce, TL_NONCE_BYTES);
    at = tl_put(at, claims->aud, TL_ID_BYTES);
    (void)tl_put(at, claims->cti, TL_ID_BYTES);
    bool is_good = lock->crypto->verify(lock->crypto->context, proof, proof + TL_KEY_BYTES, message, sizeof message);
    return is_good ? TL_OK : TL_BAD_HOLDER_PROOF;
}

uint8_t tl_read_signed(tl_lock *lock, enum tl_kind kind, const uint8_t *data, size_t length, tl_order *order)
{
    const uint8_t *payload;
    size_t payload_length;
    uint8_t code = verify_sign1(lock, data, length, purpose_of(kind), &payload, &payload_length);
    return code ? code : tl_decode_order(kind, payload, payload_length, order);
}

uint8_t tl_read_maced(const tl_lock *lock, enum tl_kind kind, const uint8_t *data, size_t length, const uint8_t key[32],
                      tl_order *order)
{
    if (length <= TL_MAC_BYTES) return TL_MALFORMED;
    length -= TL_MAC_BYTES;
    tl_part parts[] = {tl_bytes(purpose_of(kind), 5), tl_bytes(data, length)};
    if (!tl_is_mac(lock, key, data + length, parts, 2)) return TL_BAD_SIGNATURE;
    return tl_decode_order(kind, data, length, order);
}
