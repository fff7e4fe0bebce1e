/* What verifying costs on this machine, as JSON: each figure of the fastest of ten batches of ROUNDS. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "host.h"

enum { LINE = 4096, BATCHES = 10 };

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Ticks of the time stamp counter, at its own steady rate; 0 where there is none to read. */
static uint64_t cycles(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

static void keep_least(double *least, uint64_t spent, unsigned rounds)
{
    double one = (double)spent / rounds;
    if (*least <= 0 || one < *least) *least = one;
}

/* The issuers and the first good grant of grants.txt. */
static size_t read_grant(const char *path, tl_lock *lock, tl_identity *identity, uint8_t *grant)
{
    char line[LINE], kid[LINE], key[LINE];
    FILE *file = fopen(path, "r");
    size_t length = 0;
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    while (length == 0 && fgets(line, sizeof line, file)) {
        if (sscanf(line, "lock %4095s", key) == 1) {
            host_hex(key, identity->lock_id, TL_ID_BYTES);
        } else if (sscanf(line, "issuer %4095s %4095s", kid, key) == 2) {
            tl_issuer *issuer = &lock->durable.issuers[lock->durable.issuer_count++];
            host_hex(kid, issuer->kid, sizeof issuer->kid);
            host_hex(key, issuer->key, sizeof issuer->key);
        } else if (sscanf(line, "grant 0 1800000000 0 %4095s", key) == 1) {
            length = host_hex(key, grant, TL_GRANT_BYTES);
        }
    }
    fclose(file);
    return length;
}

int host_bench(const char *grants_path, unsigned rounds)
{
    static tl_lock lock;
    static tl_identity identity;
    uint8_t grant[TL_GRANT_BYTES], key[TL_KEY_BYTES], proof[32];
    tl_claims claims;
    lock.identity = &identity;
    lock.crypto = &host_sodium;
    size_t length = read_grant(grants_path, &lock, &identity, grant);
    if (rounds == 0 || length == 0 || tl_verify_grant(&lock, grant, length, &claims) != TL_OK) {
        fprintf(stderr, "%s: no good grant in it, or no rounds\n", grants_path);
        return 2;
    }
    /* in COSE_Sign1 with a payload of 24 to 255 bytes the claims begin at byte 13 and end 66 before the end */
    const uint8_t *claims_at = grant + 13;
    size_t claims_length = length - 13 - 66;
    tl_part exact = tl_bytes(claims_at, claims_length);
    tl_derive(&lock, "GRANT1", &exact, 1, key);
    tl_part parts[] = {tl_bytes("UNLK1", 5), tl_bytes(lock.session.nonce, TL_NONCE_BYTES), tl_bytes(identity.lock_id, TL_ID_BYTES)};
    host_sodium.hmac_sha256(host_sodium.context, key, parts, 3, proof);

    unsigned failed = 0;
    double a_ns = 0, a_cycles = 0, b_ns = 0, b_cycles = 0;
    for (unsigned batch = 0; batch < BATCHES; batch++) { /* the fastest counts: the others were interrupted */
        uint64_t began = nanoseconds(), cycles_began = cycles();
        for (unsigned n = 0; n < rounds; n++)
            failed += tl_verify_capability(&lock, claims_at, claims_length, proof, "UNLK1", &claims) != TL_OK;
        keep_least(&a_ns, nanoseconds() - began, rounds);
        keep_least(&a_cycles, cycles() - cycles_began, rounds);
        began = nanoseconds();
        cycles_began = cycles();
        for (unsigned n = 0; n < rounds; n++) failed += tl_verify_grant(&lock, grant, length, &claims) != TL_OK;
        keep_least(&b_ns, nanoseconds() - began, rounds);
        keep_least(&b_cycles, cycles() - cycles_began, rounds);
    }
    if (failed) {
        fprintf(stderr, "%u verifications failed\n", failed);
        return 1;
    }
    printf("{\"rounds\": %u, \"grant_bytes\": %zu, \"profile_a_ns\": %.0f, \"profile_a_cycles\": %.0f, "
           "\"profile_b_ns\": %.0f, \"profile_b_cycles\": %.0f}\n",
           rounds, length, a_ns, a_cycles, b_ns, b_cycles);
    return 0;
}
