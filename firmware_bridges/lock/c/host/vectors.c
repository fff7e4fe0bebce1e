/* Replays vectors against the core: docs/specs/lock.md, section 9. Also takes `info NOW BYTES`, what INFO reads then, and
 * `failing 1`, from where on every write to flash fails. */
#include <stdio.h>
#include <stdlib.h>

#include "host.h"

enum { LINE = 4096, PENDING = 160, WORDS = 8, FRAMES = 64 };

static uint8_t flash_state[TL_STATE_SLOTS][TL_STATE_BYTES], flash_log[TL_LOG_SLOTS][TL_RECORD_BYTES];
static bool is_failing;
static uint32_t now_s;
static char pending[PENDING][LINE];
static int pending_first, pending_count;
static tl_identity identity;
static tl_lock lock;
static struct {
    uint8_t bytes[TL_FRAME_BYTES * 2];
    size_t length;
} frames[FRAMES];
static int frame_count;
static const char *file_name;
static int line_number, difference_count, checked_count;

static void differs(const char *wanted, const char *found)
{
    difference_count++;
    fprintf(stderr, "%s:%d: differs\n  wanted: %s\n  found:  %s\n", file_name, line_number, wanted, found);
}

static void check(bool is_right, const char *what)
{
    checked_count++;
    if (!is_right) differs(what, "something else");
}

static char *add_hex(char *at, const uint8_t *bytes, size_t length)
{
    for (size_t n = 0; n < length; n++) at += sprintf(at, "%02x", bytes[n]);
    if (length == 0) at += sprintf(at, "-");
    return at;
}

static char *effect(void)
{
    if (pending_count == PENDING) {
        fprintf(stderr, "%s:%d: more effects than this program keeps\n", file_name, line_number);
        exit(2);
    }
    return pending[pending_count++];
}

static uint32_t seconds(void *context)
{
    (void)context;
    return now_s;
}

static uint8_t *slot_at(enum tl_area area, uint32_t slot)
{
    return area == TL_AREA_STATE ? flash_state[slot] : flash_log[slot];
}

static void read_slot(void *context, enum tl_area area, uint32_t slot, size_t offset, uint8_t *data, size_t length)
{
    (void)context;
    memcpy(data, slot_at(area, slot) + offset, length);
}

static bool write_slot(void *context, enum tl_area area, uint32_t slot, const uint8_t *data, size_t length)
{
    (void)context;
    if (is_failing) return false;
    memcpy(slot_at(area, slot), data, length);
    size_t body = length - TL_CHECK_BYTES;
    while (body > 0 && data[body - 1] == 0) body--;
    char *at = effect();
    at += sprintf(at, "store %s %u %zu ", area == TL_AREA_STATE ? "state" : "log", (unsigned)slot, length);
    at = add_hex(at, data, body);
    at += sprintf(at, " ");
    (void)add_hex(at, data + length - TL_CHECK_BYTES, TL_CHECK_BYTES);
    return true;
}

static void drive_bolt(void *context, bool to_unlocked)
{
    (void)context;
    sprintf(effect(), "actuate %d", to_unlocked);
}

static void refuse(void *context, uint16_t link, uint8_t code)
{
    (void)context;
    sprintf(effect(), "refuse %u %u", link, code);
}

static void send(void *context, uint16_t link, enum tl_channel channel, const uint8_t *frame, size_t length)
{
    (void)context;
    char *at = effect();
    at += sprintf(at, "%s %u ", channel == TL_LOG ? "notify" : "indicate", link);
    (void)add_hex(at, frame, length);
}

static void drop(void *context, uint16_t link)
{
    (void)context;
    sprintf(effect(), "drop %u", link);
}

static void advertise(void *context, const uint8_t data[TL_ADVERT_BYTES])
{
    (void)context;
    char *at = effect();
    at += sprintf(at, "advertise ");
    (void)add_hex(at, data, TL_ADVERT_BYTES);
}

static const tl_port port = {NULL, seconds, read_slot, write_slot, drive_bolt, refuse, send, drop, advertise};

size_t host_hex(const char *word, uint8_t *bytes, size_t most)
{
    size_t length = strcmp(word, "-") == 0 ? 0 : strlen(word);
    unsigned value;
    if (length % 2 || length / 2 > most) {
        fprintf(stderr, "%s:%d: no hex of at most %zu bytes: %s\n", file_name, line_number, most, word);
        exit(2);
    }
    for (size_t n = 0; n < length; n += 2) {
        if (sscanf(word + n, "%2x", &value) != 1) exit(2);
        bytes[n / 2] = (uint8_t)value;
    }
    return length / 2;
}

static uint32_t number(const char *word)
{
    return (uint32_t)strtoul(word, NULL, 10);
}

/* What a lock maker's radio, switches and sensors would call. */
static void happen(char *const *words)
{
    uint8_t data[2 * TL_FRAME_BYTES];
    const char *verb = words[0];
    uint16_t first = words[1] ? (uint16_t)number(words[1]) : 0;
    if (strcmp(verb, "connect") == 0) {
        tl_connected(&lock, first, (uint16_t)number(words[2]));
    } else if (strcmp(verb, "disconnect") == 0) {
        tl_disconnected(&lock, first);
    } else if (strcmp(verb, "write") == 0) {
        size_t length = host_hex(words[2], data, sizeof data);
        uint8_t *exact = malloc(length ? length : 1); /* so that the sanitizer sees a read beyond the write */
        memcpy(exact, data, length);
        tl_written(&lock, first, exact, length);
        free(exact);
    } else if (strcmp(verb, "door") == 0) {
        tl_door_moved(&lock, first != 0);
    } else if (strcmp(verb, "bolt") == 0) {
        tl_bolt_moved(&lock, first != 0);
    } else if (strcmp(verb, "egress") == 0) {
        tl_egress_used(&lock);
    } else if (strcmp(verb, "tamper") == 0) {
        tl_tampered(&lock, first != 0);
    } else if (strcmp(verb, "battery") == 0) {
        tl_battery_at(&lock, atoi(words[1]));
    } else if (strcmp(verb, "tick") == 0) {
        tl_tick(&lock);
    } else {
        fprintf(stderr, "%s:%d: no such happening: %s\n", file_name, line_number, verb);
        exit(2);
    }
}

static void begin_case(char *const *words)
{
    memset(&identity, 0, sizeof identity);
    memset(&lock, 0, sizeof lock);
    memset(flash_state, 0xFF, sizeof flash_state);
    memset(flash_log, 0xFF, sizeof flash_log);
    is_failing = false;
    lock.identity = &identity;
    lock.crypto = &host_sodium;
    if (words[2] == NULL) { /* of grants.txt */
        host_hex(words[1], identity.lock_id, TL_ID_BYTES);
        return;
    }
    identity.profile = number(words[1]) == TL_PROFILE_B ? TL_PROFILE_B : TL_PROFILE_A;
    host_hex(words[2], identity.lock_id, TL_ID_BYTES);
    host_hex(words[3], identity.k_lock, TL_KEY_BYTES);
    identity.firmware = number(words[4]);
    identity.model = (uint8_t)number(words[5]);
}

static void add_issuer(char *const *words)
{
    tl_issuer *issuer = &identity.issuers[identity.issuer_count++];
    host_hex(words[1], issuer->kid, sizeof issuer->kid);
    host_hex(words[2], issuer->key, sizeof issuer->key);
    lock.durable.issuer_count = identity.issuer_count; /* for grants.txt, where nothing boots */
    memcpy(lock.durable.issuers, identity.issuers, sizeof identity.issuers);
}

static void take_frame(void *context, const uint8_t *frame, size_t length)
{
    int *at = context;
    bool is_same = *at < frame_count && frames[*at].length == length && memcmp(frames[*at].bytes, frame, length) == 0;
    check(is_same, "this frame");
    ++*at;
}

static uint8_t join_all(tl_partial *partial, bool *is_whole)
{
    uint8_t code = TL_OK;
    memset(partial, 0, sizeof *partial);
    for (int n = 0; n < frame_count; n++) code = tl_join(partial, frames[n].bytes, frames[n].length, is_whole);
    return code;
}

static void check_split(char *const *words)
{
    uint8_t body[TL_BODY_BYTES], kind = (uint8_t)number(words[1]);
    tl_partial partial;
    bool is_whole = false;
    int at = 0;
    size_t length = host_hex(words[4], body, sizeof body);
    tl_split(kind, (uint8_t)number(words[2]), number(words[3]), body, length, take_frame, &at);
    check(at == frame_count, "as many frames");
    check(join_all(&partial, &is_whole) == TL_OK && is_whole && partial.kind == kind && partial.received == length &&
              memcmp(partial.body, body, length) == 0,
          "the body the frames came from");
}

static void check_grant(char *const *words)
{
    uint8_t data[TL_STATE_BYTES];
    tl_claims claims;
    size_t length = host_hex(words[4], data, sizeof data);
    uint8_t code = tl_verify_grant(&lock, data, length, &claims);
    if (!code) code = tl_check_claims(&claims, identity.lock_id, number(words[2]), number(words[3]));
    check(code == number(words[1]), "this code");
}

static void check_head(char *const *words, uint8_t head[TL_HEAD_BYTES])
{
    uint8_t data[TL_EVENT_BYTES], wanted[TL_HEAD_BYTES];
    size_t length = host_hex(words[1], data, sizeof data);
    if (strcmp(words[0], "first") == 0) {
        lock.identity = &identity;
        lock.crypto = &host_sodium;
        memcpy(identity.lock_id, data, TL_ID_BYTES);
        tl_first_head(&lock, head);
    } else {
        tl_next_head(&lock, head, data, length, head);
    }
    host_hex(words[2], wanted, sizeof wanted);
    check(memcmp(head, wanted, TL_HEAD_BYTES) == 0, "this head");
}

static void begin_happening(const char *fresh)
{
    pending_first = pending_count = 0;
    host_hex(fresh, host_sodium.context, TL_NONCE_BYTES + 4);
}

static void take_line(char *line)
{
    static uint8_t head[TL_HEAD_BYTES];
    static char frame_verb[LINE], *frame_words[WORDS + 1];
    char *words[WORDS + 1] = {NULL}, copy[LINE];
    int count = 0;
    strcpy(copy, line);
    if (strncmp(line, "out ", 4) == 0) {
        checked_count++;
        const char *found = pending_first < pending_count ? pending[pending_first++] : "nothing";
        if (strcmp(line + 4, found) != 0) differs(line + 4, found);
        return;
    }
    while (pending_first < pending_count) differs("nothing", pending[pending_first++]);
    for (char *word = strtok(copy, " "); word && count < WORDS; word = strtok(NULL, " ")) words[count++] = word;
    const char *verb = words[0];
    if (verb == NULL || strcmp(verb, "case") == 0) return;
    if (strcmp(verb, "lock") == 0) {
        begin_case(words);
    } else if (strcmp(verb, "issuer") == 0) {
        add_issuer(words);
    } else if (strcmp(verb, "boot") == 0) {
        begin_happening(words[1]);
        now_s = 1000; /* the core counts from its start */
        tl_boot(&lock, &identity, &host_sodium, &port, words[2][0] == '1', words[3][0] == '1');
    } else if (strcmp(verb, "in") == 0) {
        begin_happening(words[2]);
        now_s = 1000 + number(words[1]);
        happen(words + 3);
    } else if (strcmp(verb, "flash") == 0) {
        enum tl_area area = strcmp(words[1], "state") == 0 ? TL_AREA_STATE : TL_AREA_LOG;
        size_t most = area == TL_AREA_STATE ? TL_STATE_BYTES : TL_RECORD_BYTES;
        uint8_t *slot = slot_at(area, number(words[2]));
        memset(slot, 0xFF, most);
        host_hex(words[3], slot, most);
    } else if (strcmp(verb, "failing") == 0) {
        is_failing = words[1][0] == '1';
    } else if (strcmp(verb, "info") == 0) {
        uint8_t wanted[TL_INFO_BYTES], found[TL_INFO_BYTES];
        host_hex(words[2], wanted, sizeof wanted);
        now_s = 1000 + number(words[1]);
        tl_info(&lock, found);
        check(memcmp(found, wanted, sizeof found) == 0, "this INFO");
    } else if (strcmp(verb, "split") == 0 || strcmp(verb, "join") == 0) {
        strcpy(frame_verb, line);
        for (int n = 0; n <= WORDS; n++) frame_words[n] = words[n] ? frame_verb + (words[n] - copy) : NULL;
        for (int n = 1; n < count; n++) frame_words[n][-1] = '\0';
        frame_count = 0;
    } else if (strcmp(verb, "frame") == 0 && frame_count < FRAMES) {
        frames[frame_count].length = host_hex(words[1], frames[frame_count].bytes, sizeof frames[0].bytes);
        frame_count++;
    } else if (strcmp(verb, "refuse") == 0) {
        tl_partial partial;
        bool is_whole;
        check(join_all(&partial, &is_whole) == number(words[1]), "this refusal");
    } else if (strcmp(verb, "end") == 0) {
        if (frame_words[0] && strcmp(frame_words[0], "split") == 0) check_split(frame_words);
        frame_words[0] = NULL;
    } else if (strcmp(verb, "grant") == 0) {
        check_grant(words);
    } else if (strcmp(verb, "first") == 0 || strcmp(verb, "event") == 0) {
        check_head(words, head);
    } else {
        fprintf(stderr, "%s:%d: no such line: %s\n", file_name, line_number, verb);
        exit(2);
    }
}

int host_vectors(const char *path)
{
    static char line[LINE];
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    file_name = path;
    line_number = difference_count = checked_count = 0;
    while (fgets(line, sizeof line, file)) {
        line_number++;
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '#') take_line(line);
    }
    while (pending_first < pending_count) differs("nothing", pending[pending_first++]);
    if (file != stdin) fclose(file);
    printf("%s: %d checked, %d differ\n", path, checked_count, difference_count);
    return difference_count;
}
