/*
 * The least an echo server can do: one thread, epoll, no parsing: epollecho
 *
 * Prints the port it listens on. What a peer does not take at once is kept for it, and nothing more
 * is read from it until then.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_EVENTS = 1024, CHUNK = 65536 };

struct peer {
    int fd;
    size_t kept, sent;
    char *rest;
};

static int poller;
static char chunk[CHUNK];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(struct peer *peer, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(poller, operation, peer->fd, &event))
        die("epoll_ctl");
}

static void forget(struct peer *peer) {
    close(peer->fd);
    free(peer->rest);
    free(peer);
}

static void meet(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), yes = 1;
    if (fd < 0)
        return;
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        die("calloc");
    peer->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    watch(peer, EPOLLIN, EPOLL_CTL_ADD);
}

static void keep(struct peer *peer, const char *data, size_t length) {
    peer->rest = malloc(length);
    if (!peer->rest)
        die("malloc");
    memcpy(peer->rest, data, length);
    peer->kept = length;
    peer->sent = 0;
    watch(peer, EPOLLOUT, EPOLL_CTL_MOD);
}

static void echo(struct peer *peer) {
    ssize_t got = recv(peer->fd, chunk, CHUNK, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    ssize_t sent = got > 0 ? send(peer->fd, chunk, (size_t)got, MSG_NOSIGNAL) : -1;
    if (got <= 0 || (sent < 0 && errno != EAGAIN))
        forget(peer);
    else if (sent < got)
        keep(peer, chunk + (sent > 0 ? sent : 0), (size_t)(got - (sent > 0 ? sent : 0)));
}

static void flush(struct peer *peer) {
    ssize_t sent = send(peer->fd, peer->rest + peer->sent, peer->kept - peer->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        forget(peer);
        return;
    }
    peer->sent += sent > 0 ? (size_t)sent : 0;
    if (peer->sent < peer->kept)
        return;
    free(peer->rest);
    peer->rest = NULL;
    watch(peer, EPOLLIN, EPOLL_CTL_MOD);
}

int main(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    struct peer listening = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    poller = epoll_create1(0);
    if (poller < 0 || bind(listening.fd, (struct sockaddr *)&here, sizeof here)
        || listen(listening.fd, 4096))
        die("listen");
    getsockname(listening.fd, (struct sockaddr *)&here, &length);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    watch(&listening, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[MOST_EVENTS];
        int count = epoll_wait(poller, events, MOST_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == &listening)
                meet(listening.fd);
            else if (events[i].events & EPOLLOUT)
                flush(peer);
            else
                echo(peer);
        }
    }
}
