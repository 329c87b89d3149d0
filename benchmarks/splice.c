/*
 * The least that a proxy can do: one thread, epoll, two sockets a player: splice CHILD-PORT
 *
 * Prints the port it listens on. What a peer does not take at once ends the program: the benchmark
 * sends one small message at a time on each connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 1024, CHUNK = 65536 };

struct side {
    int fd;
    struct side *other;
    int closed;
};

static int poller;
static char chunk[CHUNK];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static struct side *side(int fd) {
    int yes = 1;
    struct side *made = calloc(1, sizeof *made);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = made};
    if (!made || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    made->fd = fd;
    return made;
}

static void accept_player(int listener, int port) {
    struct sockaddr_in address = loopback(port);
    int player = accept(listener, NULL, NULL), child = socket(AF_INET, SOCK_STREAM, 0);
    if (player < 0) return;
    if (connect(child, (struct sockaddr *)&address, sizeof address)) die("connect");
    struct side *a = side(player), *b = side(child);
    a->other = b;
    b->other = a;
}

static void forward(struct side *from) {
    ssize_t size = read(from->fd, chunk, CHUNK);
    if (size > 0) {
        if (write(from->other->fd, chunk, size) != size) die("write");
        return;
    }
    /* One end ends both. The memory is kept: an event for the other side may be pending. */
    if (!from->closed) {
        from->closed = from->other->closed = 1;
        close(from->fd);
        close(from->other->fd);
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), port = argc > 1 ? atoi(argv[1]) : 0;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        die("listen");
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[MAX_EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poller, events, MAX_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct side *from = events[i].data.ptr;
            if (!from)
                accept_player(listener, port);
            else if (!from->closed)
                forward(from);
        }
    }
}
