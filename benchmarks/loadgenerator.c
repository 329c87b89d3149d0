/*
 * Players for a benchmark: loadgenerator PORT CONNECTIONS SIZE SECONDS ARRIVING PAYLOAD
 *
 * Connects to 127.0.0.1. At most ARRIVING players are between connect() and their first echo. Then each
 * player, in a closed loop, sends SIZE bytes, waits for all of them, and sends again, for SECONDS after a
 * warm-up of a fifth of that. Prints a line when all players have had an echo, then a line of JSON (times in
 * microseconds), and stays connected until its standard input ends.
 *
 * PAYLOAD is one of:
 *   line    each message ends with a line end
 *   binary  each message has pseudo-random bytes without a line end
 *   plain   no message has a line end; players end with a message of one q, as the workshop's client does
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 1024 };

struct player {
    int fd;
    int connected;
    int arrived;
    size_t unsent;
    size_t awaited;
    int64_t began;
};

struct times {
    float *all; /* microseconds */
    size_t count, capacity;
};

static int poller;
static struct player *players;
static int connections, begun, present, failed;
static size_t size;
static char *message, *drain;
static struct times arrivals, echoes;
static struct sockaddr_in server;
static int looping, counting;
static long exchanged;

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void record(struct times *times, int64_t nanoseconds) {
    if (times->count == times->capacity) {
        times->capacity = times->capacity ? 2 * times->capacity : 1 << 16;
        times->all = realloc(times->all, times->capacity * sizeof *times->all);
        if (!times->all)
            die("realloc");
    }
    times->all[times->count++] = nanoseconds / 1e3f;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float percentile(struct times *times, double share) {
    return times->count ? times->all[(size_t)(share * (double)(times->count - 1))] : 0;
}

static void setEvents(struct player *player, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = player};
    if (epoll_ctl(poller, operation, player->fd, &event))
        die("epoll_ctl");
}

static void beginNext(void) {
    struct player *player = &players[begun++];
    int yes = 1;
    player->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (player->fd < 0)
        die("socket");
    setsockopt(player->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    player->began = now();
    if (connect(player->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        die("connect");
    setEvents(player, EPOLLOUT, EPOLL_CTL_ADD);
}

/* A player has had its first echo, or has failed: start the next. */
static void startNext(void) {
    if (begun < connections)
        beginNext();
}

static void fail(struct player *player) {
    failed++;
    if (!player->arrived)
        startNext();
    close(player->fd);
    player->fd = -1;
}

static void sendRest(struct player *player) {
    ssize_t sent = send(player->fd, message + size - player->unsent, player->unsent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        fail(player);
        return;
    }
    size_t before = player->unsent;
    player->unsent -= sent > 0 ? (size_t)sent : 0;
    if (player->unsent)
        setEvents(player, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    else if (before < size || !player->arrived)
        setEvents(player, EPOLLIN, EPOLL_CTL_MOD);
}

static void sendMessage(struct player *player) {
    player->unsent = player->awaited = size;
    if (player->arrived)
        player->began = now();
    sendRest(player);
}

static void echoed(struct player *player, int64_t at) {
    if (!player->arrived) {
        player->arrived = 1;
        present++;
        record(&arrivals, at - player->began);
        startNext();
        return;
    }
    exchanged++;
    if (counting)
        record(&echoes, at - player->began);
    if (looping)
        sendMessage(player);
}

static void handle(struct player *player, uint32_t events) {
    if (!player->connected) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(player->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) {
            fail(player);
            return;
        }
        player->connected = 1;
        sendMessage(player);
        return;
    }
    if (events & EPOLLOUT && player->unsent)
        sendRest(player);
    if (player->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t got = recv(player->fd, drain, size, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            fail(player);
        return;
    }
    player->awaited -= (size_t)got < player->awaited ? (size_t)got : player->awaited;
    if (!player->awaited)
        echoed(player, now());
}

static void pollOnce(int milliseconds) {
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(poller, events, MAX_EVENTS, milliseconds);
    for (int i = 0; i < count; i++)
        handle(events[i].data.ptr, events[i].events);
}

static void runUntil(int64_t end) {
    while (now() < end && failed < connections)
        pollOnce(20);
}

static void printTimes(const char *name, struct times *times) {
    qsort(times->all, times->count, sizeof *times->all, ascending);
    printf("\"%s\": {\"count\": %zu, \"p50\": %.1f, \"p95\": %.1f, \"p99\": %.1f, \"p999\": %.1f, "
           "\"longest\": %.1f}, ",
           name, times->count, percentile(times, 0.5), percentile(times, 0.95),
           percentile(times, 0.99), percentile(times, 0.999), percentile(times, 1));
}

/* The same bytes in each run. */
static void fillRandomly(char *bytes, size_t count) {
    uint32_t state = 2463534242u;
    for (size_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[i] = (char)(state >> 24);
        if (bytes[i] == '\n' || bytes[i] == '\r')
            bytes[i] = 0;
    }
}

int main(int argc, char **argv) {
    const char *payload = argc == 7 ? argv[6] : "";
    int line = !strcmp(payload, "line"), binary = !strcmp(payload, "binary"), plain = !strcmp(payload, "plain");
    if (!line && !binary && !plain) {
        fputs("loadgenerator PORT CONNECTIONS SIZE SECONDS ARRIVING line|binary|plain\n", stderr);
        return 2;
    }
    connections = atoi(argv[2]);
    size = (size_t)atoi(argv[3]);
    double seconds = atof(argv[4]);
    int arriving = atoi(argv[5]);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    players = calloc((size_t)connections, sizeof *players);
    message = malloc(size);
    drain = malloc(size);
    poller = epoll_create1(0);
    if (!players || !message || !drain || poller < 0)
        die("start");
    memset(message, 'x', size);
    if (line)
        message[size - 1] = '\n';
    if (binary)
        fillRandomly(message, size);

    int64_t start = now();
    while (begun < connections && begun < arriving)
        beginNext();
    while (present + failed < connections && now() < start + 60000000000LL)
        pollOnce(20);
    double arrived = (double)(now() - start) / 1e9;

    puts("arrived");
    fflush(stdout);
    double elapsed = 0;
    if (seconds > 0 && present) {
        looping = 1;
        for (int i = 0; i < connections; i++)
            if (players[i].arrived && players[i].fd >= 0)
                sendMessage(&players[i]);
        runUntil(now() + (int64_t)(seconds * 0.2e9));
        counting = 1;
        int64_t from = now();
        runUntil(from + (int64_t)(seconds * 1e9));
        elapsed = (double)(now() - from) / 1e9;
        counting = looping = 0;
    }
    printf("{");
    printTimes("arrivals", &arrivals);
    printTimes("echoes", &echoes);
    printf("\"present\": %d, \"failed\": %d, \"arrivedAfter\": %.3f, \"seconds\": %.6f, "
           "\"exchanged\": %ld}\n",
           present, failed, arrived, elapsed, exchanged);
    fflush(stdout);
    while (read(0, drain, 1) > 0)
        ;
    for (int i = 0; plain && i < connections; i++)
        if (players[i].arrived && players[i].fd >= 0 && send(players[i].fd, "q", 1, MSG_NOSIGNAL) < 0)
            failed++;
    return 0;
}
