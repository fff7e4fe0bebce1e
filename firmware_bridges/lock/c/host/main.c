/* lock_host vectors FILE...: replays vectors ("-": standard input), exit 1 where the core does otherwise.
 * lock_host bench GRANTS.TXT ROUNDS: nanoseconds and cycles to verify a grant, as JSON. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "host.h"

int main(int count, char **words)
{
    int differences = 0;
    if (sodium_init() < 0) return 2;
    if (count == 4 && strcmp(words[1], "bench") == 0) return host_bench(words[2], (unsigned)strtoul(words[3], NULL, 10));
    if (count < 3 || strcmp(words[1], "vectors") != 0) {
        fprintf(stderr, "usage: %s vectors FILE... | bench GRANTS.TXT ROUNDS\n", words[0]);
        return 2;
    }
    for (int at = 2; at < count; at++) differences += host_vectors(words[at]);
    return differences ? 1 : 0;
}
