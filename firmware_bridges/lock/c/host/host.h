/* A lock on a workstation: flash in memory, effects as lines of text, cryptography of libsodium. */
#ifndef TOCSIN_LOCK_HOST_H
#define TOCSIN_LOCK_HOST_H

#include "../core.h"

extern const tl_crypto host_sodium; /* its context: the 20 fresh bytes of a happening, or NULL for libsodium's own random */

int host_vectors(const char *path); /* replays a file of vectors ("-": standard input); the number of lines that differ */
int host_bench(const char *grants_path, unsigned rounds);

size_t host_hex(const char *word, uint8_t *bytes, size_t most); /* "-" is none; ends the program where it is no hex */

#endif
