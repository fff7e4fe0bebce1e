/* MACs, and the keys that come from the lock's own key. docs/specs/grant.md, section 4. */
#include "core.h"

enum { MOST_PARTS = 4 };

const uint8_t tl_zeros[TL_ID_BYTES];

bool tl_is_same(const uint8_t *one, const uint8_t *other, size_t length)
{
    volatile uint8_t difference = 0;
    for (size_t at = 0; at < length; at++) difference = (uint8_t)(difference | (one[at] ^ other[at]));
    return difference == 0;
}

bool tl_is_mac(const tl_lock *lock, const uint8_t *key, const uint8_t *presented, const tl_part *parts, size_t count)
{
    uint8_t mac[32];
    lock->crypto->hmac_sha256(lock->crypto->context, key, parts, count, mac);
    return tl_is_same(mac, presented, TL_MAC_BYTES);
}

void tl_derive(const tl_lock *lock, const char *purpose, const tl_part *parts, size_t count, uint8_t key[32])
{
    tl_part all[MOST_PARTS];
    all[0] = tl_bytes(purpose, strlen(purpose));
    for (size_t at = 0; at < count; at++) all[at + 1] = parts[at];
    lock->crypto->hmac_sha256(lock->crypto->context, lock->identity->k_lock, all, count + 1, key);
}

/* HKDF-SHA-256 (RFC 5869) of one block; the salt is the client's nonce, then the lock's. */
void tl_session_key(const tl_lock *lock, const uint8_t k_gw[32], const uint8_t *nonces, uint8_t key[32])
{
    uint8_t extracted[32];
    tl_part secret = tl_bytes(k_gw, 32), info = tl_bytes("SESS1\x01", 6);
    lock->crypto->hmac_sha256(lock->crypto->context, nonces, &secret, 1, extracted);
    lock->crypto->hmac_sha256(lock->crypto->context, extracted, &info, 1, key);
}
