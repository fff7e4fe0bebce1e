/* tl_crypto from libsodium: an example of the table, and what the host tests run with. */
#include <sodium.h>

#include "host.h"

static void sha256(void *context, const tl_part *parts, size_t count, uint8_t digest[32])
{
    crypto_hash_sha256_state state;
    (void)context;
    crypto_hash_sha256_init(&state);
    for (size_t at = 0; at < count; at++) crypto_hash_sha256_update(&state, parts[at].data, parts[at].length);
    crypto_hash_sha256_final(&state, digest);
}

static void hmac_sha256(void *context, const uint8_t key[32], const tl_part *parts, size_t count, uint8_t mac[32])
{
    crypto_auth_hmacsha256_state state;
    (void)context;
    crypto_auth_hmacsha256_init(&state, key, 32);
    for (size_t at = 0; at < count; at++) crypto_auth_hmacsha256_update(&state, parts[at].data, parts[at].length);
    crypto_auth_hmacsha256_final(&state, mac);
}

static void seal(void *context, const uint8_t key[32], const uint8_t nonce[12], const uint8_t *beside, size_t beside_length,
                 uint8_t *text, size_t length, uint8_t tag[16])
{
    (void)context;
    crypto_aead_chacha20poly1305_ietf_encrypt_detached(text, tag, NULL, text, length, beside, beside_length, NULL, nonce, key);
}

static bool unseal(void *context, const uint8_t key[32], const uint8_t nonce[12], const uint8_t *beside, size_t beside_length,
                   uint8_t *text, size_t length, const uint8_t tag[16])
{
    (void)context;
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(text, NULL, text, length, tag, beside, beside_length, nonce,
                                                              key) == 0;
}

static bool verify(void *context, const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t length)
{
    (void)context;
    return crypto_sign_verify_detached(signature, message, length, key) == 0;
}

/* The vectors bring the random bytes with them: 16 for a nonce, then 4 for the advertisement. */
static void fresh(void *context, uint8_t *bytes, size_t length)
{
    const uint8_t *given = context;
    if (given == NULL)
        randombytes_buf(bytes, length);
    else
        memcpy(bytes, length == TL_NONCE_BYTES ? given : given + TL_NONCE_BYTES, length);
}

static uint8_t fresh_bytes[TL_NONCE_BYTES + 4];
const tl_crypto host_sodium = {fresh_bytes, sha256, hmac_sha256, seal, unseal, verify, fresh};
