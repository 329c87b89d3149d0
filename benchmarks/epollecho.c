/*
 * An echo server with a minimum of work: one thread, epoll, no parsing.
 *
 * Usage: epollecho. Prints its port. If a peer does not read, the unsent bytes are kept, and nothing is read
 * from this peer until they are sent.
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

enum { MAX_EVENTS = 1024, CHUNK = 65536 };

struct peer {
    int fd;
    size_t kept, sent;
    char *unsent;
};

static int poller;
static char chunk[CHUNK];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void setEvents(struct peer *peer, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(poller, operation, peer->fd, &event))
        die("epoll_ctl");
}

static void closePeer(struct peer *peer) {
    close(peer->fd);
    free(peer->unsent);
    free(peer);
}

static void acceptPeer(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), yes = 1;
    if (fd < 0)
        return;
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        die("calloc");
    peer->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setEvents(peer, EPOLLIN, EPOLL_CTL_ADD);
}

static void keepUnsent(struct peer *peer, const char *data, size_t length) {
    peer->unsent = malloc(length);
    if (!peer->unsent)
        die("malloc");
    memcpy(peer->unsent, data, length);
    peer->kept = length;
    peer->sent = 0;
    setEvents(peer, EPOLLOUT, EPOLL_CTL_MOD);
}

static void echo(struct peer *peer) {
    ssize_t got = recv(peer->fd, chunk, CHUNK, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    ssize_t sent = got > 0 ? send(peer->fd, chunk, (size_t)got, MSG_NOSIGNAL) : -1;
    if (got <= 0 || (sent < 0 && errno != EAGAIN))
        closePeer(peer);
    else if (sent < got)
        keepUnsent(peer, chunk + (sent > 0 ? sent : 0), (size_t)(got - (sent > 0 ? sent : 0)));
}

static void flush(struct peer *peer) {
    ssize_t sent = send(peer->fd, peer->unsent + peer->sent, peer->kept - peer->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        closePeer(peer);
        return;
    }
    peer->sent += sent > 0 ? (size_t)sent : 0;
    if (peer->sent < peer->kept)
        return;
    free(peer->unsent);
    peer->unsent = NULL;
    setEvents(peer, EPOLLIN, EPOLL_CTL_MOD);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct peer listening = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    poller = epoll_create1(0);
    if (poller < 0 || bind(listening.fd, (struct sockaddr *)&address, sizeof address)
        || listen(listening.fd, 4096))
        die("listen");
    getsockname(listening.fd, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    setEvents(&listening, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(poller, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == &listening)
                acceptPeer(listening.fd);
            else if (events[i].events & EPOLLOUT)
                flush(peer);
            else
                echo(peer);
        }
    }
}
