/* The protocol core of a Tocsin lock: docs/specs/lock.md and grant.md in C99, without heap, operating system or cryptography.
 *
 * The maker fills in two tables (tl_crypto, tl_port), keeps one tl_lock in static memory, calls tl_boot once and then one
 * function for everything that happens. One caller at a time: none of this is for two threads or an interrupt. A function of
 * tl_port never calls back into the core; what it has to tell comes afterwards, as the next happening. Numbers are big endian.
 */
#ifndef TOCSIN_LOCK_H
#define TOCSIN_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TL_ID_BYTES = 8, /* of a lock, a grant, a holder, a gateway */
    TL_KEY_BYTES = 32,
    TL_NONCE_BYTES = 16,
    TL_HEAD_BYTES = 16,
    TL_MAC_BYTES = 16,
    TL_SIGNATURE_BYTES = 64,
    TL_GRANT_BYTES = 160,
    TL_MIN_FRAME_BYTES = 20,
    TL_FRAME_BYTES = 244,
    TL_BODY_BYTES = 640,
    TL_ISSUERS = 2,
    TL_USED_GRANTS = 64,
    TL_REVOKED = 8, /* grants one REVOKE can name */
    TL_LOG_SLOTS = 512,
    TL_RECORD_BYTES = 64, /* a slot of the log */
    TL_STATE_SLOTS = 2,
    TL_STATE_BYTES = 1024, /* a slot of the state */
    TL_INFO_BYTES = 27,
    TL_ADVERT_BYTES = 10
};

/* Refusals, as ATT errors. 0 is none. */
enum tl_code {
    TL_OK = 0,
    TL_MALFORMED = 0x80,
    TL_UNSUPPORTED_VERSION,
    TL_BUSY,
    TL_NO_LIVE_NONCE,
    TL_BAD_SIGNATURE,
    TL_WRONG_LOCK,
    TL_OUTSIDE_WINDOW,
    TL_REVOKED_GRANT,
    TL_ALREADY_USED,
    TL_BAD_HOLDER_PROOF,
    TL_TIME_UNKNOWN,
    TL_NOT_ALLOWED,
    TL_JAMMED_OR_OPEN,
    TL_BATTERY_LOW,
    TL_LOCKED_OUT,
    TL_OCCUPIED
};

enum tl_profile { TL_PROFILE_A = 1, TL_PROFILE_B = 2 }; /* A: MACs only, B: Ed25519 as well */
enum tl_area { TL_AREA_STATE, TL_AREA_LOG };
enum tl_channel { TL_RSP, TL_LOG }; /* an indication on RSP, a notification on LOG */

/* Bytes that are hashed one after the other. */
typedef struct {
    const uint8_t *data;
    size_t length;
} tl_part;

/* Cryptography, of a library or the chip. Every comparison in it takes as long for wrong as for right. */
typedef struct {
    void *context;
    /* SHA-256 (FIPS 180-4) of the parts in a row. */
    void (*sha256)(void *context, const tl_part *parts, size_t count, uint8_t digest[32]);
    /* HMAC-SHA-256 (RFC 2104) of the parts in a row. */
    void (*hmac_sha256)(void *context, const uint8_t key[32], const tl_part *parts, size_t count, uint8_t mac[32]);
    /* ChaCha20-Poly1305 (RFC 8439), in place. */
    void (*seal)(void *context, const uint8_t key[32], const uint8_t nonce[12], const uint8_t *beside, size_t beside_length,
                 uint8_t *text, size_t length, uint8_t tag[16]);
    /* The same back; false, and the text is not used, where anything was changed. */
    bool (*unseal)(void *context, const uint8_t key[32], const uint8_t nonce[12], const uint8_t *beside, size_t beside_length,
                   uint8_t *text, size_t length, const uint8_t tag[16]);
    /* Ed25519 (RFC 8032). NULL in a lock of profile A. */
    bool (*verify)(void *context, const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t length);
    /* Bytes nobody can guess: a true random generator, or a DRBG seeded from one. */
    void (*random)(void *context, uint8_t *bytes, size_t length);
} tl_crypto;

/* The rest of the lock. */
typedef struct {
    void *context;
    /* Seconds since any moment; never back, never standing still. */
    uint32_t (*seconds)(void *context);
    /* Part of a slot of flash; erased bytes are 0xFF. */
    void (*read_slot)(void *context, enum tl_area area, uint32_t slot, size_t offset, uint8_t *data, size_t length);
    /* A whole slot, 64 bytes of the log or 1024 of the state. Back only when it is written, as a later start would read it;
     * false where it is not. */
    bool (*write_slot)(void *context, enum tl_area area, uint32_t slot, const uint8_t *data, size_t length);
    /* Starts the bolt; tl_bolt_moved comes when it is there, also where it was there already. */
    void (*drive_bolt)(void *context, bool to_unlocked);
    /* The write that is being taken is answered with this ATT error. A write not refused by the end of tl_written is good. */
    void (*refuse)(void *context, uint16_t link, uint8_t code);
    /* A frame to the client. The core sends at most 43 in a row: queue them, or wait. */
    void (*send)(void *context, uint16_t link, enum tl_channel channel, const uint8_t *frame, size_t length);
    void (*drop)(void *context, uint16_t link);
    /* Manufacturer data to advertise from now on. */
    void (*advertise)(void *context, const uint8_t data[TL_ADVERT_BYTES]);
} tl_port;

typedef struct {
    uint8_t kid[2];
    uint8_t key[TL_KEY_BYTES];
} tl_issuer;

/* What the lock was made and commissioned with. `issuers` count only while its flash is blank: they rotate. */
typedef struct {
    uint8_t lock_id[TL_ID_BYTES];
    uint8_t k_lock[TL_KEY_BYTES];
    enum tl_profile profile;
    uint8_t model;
    uint32_t firmware;
    uint8_t issuer_count; /* 0 in profile A, 1 or 2 in profile B, by rising kid */
    tl_issuer issuers[TL_ISSUERS];
} tl_identity;

/* What a grant says. */
typedef struct {
    uint8_t cti[TL_ID_BYTES], sub[TL_ID_BYTES], aud[TL_ID_BYTES], gw[TL_ID_BYTES];
    uint32_t nbf, exp, ctr;
    uint8_t ops, uses;
    bool has_gw;
} tl_claims;

/* A grant that is remembered, so that it is not taken again. */
typedef struct {
    uint8_t cti[TL_ID_BYTES];
    uint32_t ctr;
    uint8_t left;
    bool is_revoked;
} tl_used;

/* What outlives a power cut. */
typedef struct {
    uint32_t generation, boot_counter, min_ctr, gateway_epoch, time_floor_s, acked_seq;
    uint16_t lockout_s;
    uint8_t failures;
    bool is_locked_out, opener_may_relock;
    uint8_t opener_cti[TL_ID_BYTES];
    uint8_t issuer_count;
    tl_issuer issuers[TL_ISSUERS];
    uint8_t used_count;
    tl_used used[TL_USED_GRANTS + TL_REVOKED]; /* more than 64 only within one REVOKE */
} tl_durable;

/* The parts of a message that came so far. */
typedef struct {
    bool is_begun;
    uint8_t kind, message, parts;
    uint16_t length, received;
    uint8_t body[TL_BODY_BYTES];
} tl_partial;

typedef struct {
    uint8_t gateway_id[TL_ID_BYTES], key[TL_KEY_BYTES], nonce[TL_NONCE_BYTES];
    uint32_t sent, taken, nonce_until_s;
    bool is_open, has_nonce, has_grant;
    tl_claims grant; /* profile B: verified, its holder's proof to come */
} tl_session;

typedef struct {
    uint8_t kind; /* of the message that asked; 0: the bolt is not awaited */
    bool to_unlocked;
    uint32_t until_s;
    uint8_t cti[TL_ID_BYTES], gateway_id[TL_ID_BYTES];
} tl_awaited;

/* A lock. The fields are the core's own; makers use the functions. */
typedef struct {
    const tl_identity *identity;
    const tl_crypto *crypto;
    const tl_port *port;
    tl_durable durable;
    uint8_t head[TL_HEAD_BYTES], base[TL_HEAD_BYTES]; /* after event `seq`; before the oldest event kept */
    uint32_t seq, kept, unlogged;
    bool is_unlocked, is_open, is_tampered, is_jammed, has_clock, has_advertised, has_link, write_failed;
    uint8_t battery_percent, advertised, clock_error_s;
    uint32_t started_s, now_s, clock_at_s, clock_unix_s, lockout_until_s, advertised_s;
    uint16_t link, frame_bytes;
    uint32_t heard_s, messages;
    tl_session session;
    tl_awaited awaited;
    tl_partial partial;
    uint8_t work[TL_STATE_BYTES]; /* a slot, a message going out, or what is signed; never two at once */
} tl_lock;

/* Power came (back), with the bolt's and the door's sensor. Reads all of flash; logs what a power cut tore. */
void tl_boot(tl_lock *lock, const tl_identity *identity, const tl_crypto *crypto, const tl_port *port, bool is_unlocked,
             bool is_open);

void tl_connected(tl_lock *lock, uint16_t link, uint16_t frame_bytes); /* frame_bytes: MTU less 3, 20 to 244 */
void tl_disconnected(tl_lock *lock, uint16_t link);
void tl_written(tl_lock *lock, uint16_t link, const uint8_t *data, size_t length); /* a write to CMD */
void tl_door_moved(tl_lock *lock, bool is_open);
void tl_bolt_moved(tl_lock *lock, bool is_unlocked);
void tl_egress_used(tl_lock *lock); /* the inside handle drew the bolt, mechanically */
void tl_tampered(tl_lock *lock, bool is_tampered);
void tl_battery_at(tl_lock *lock, int percent);
void tl_tick(tl_lock *lock); /* at least once a second */

/* The value of INFO. */
void tl_info(tl_lock *lock, uint8_t info[TL_INFO_BYTES]);

#endif
