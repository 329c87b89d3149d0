/* An echo server that speaks to fleetiq-wrap. Build: cc -o echo_server echo_server.c. Run: echo_server PORT */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Connect to fleetiq-wrap; return the descriptor, or -1 without it. */
static int connect_wrap(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("FLEETIQ_SOCKET");
    int wrap = socket(AF_UNIX, SOCK_STREAM, 0);
    if (!path || strlen(path) >= sizeof address.sun_path) return -1;
    strcpy(address.sun_path, path);
    if (connect(wrap, (struct sockaddr *)&address, sizeof address)) return -1;
    const char ready[] = "{\"event\": \"ready\"}\n";
    return write(wrap, ready, sizeof ready - 1) < 0 ? -1 : wrap;
}

static void echo(int player) {
    char data[65536];
    ssize_t size;
    while ((size = read(player, data, sizeof data)) > 0)
        for (ssize_t done = 0, sent; done < size; done += sent)
            if ((sent = write(player, data + done, size - done)) <= 0) exit(1);
    exit(0);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    address.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 128)) {
        perror("cannot listen");
        return 1;
    }
    signal(SIGCHLD, SIG_IGN);
    struct pollfd ready[] = {{server, POLLIN, 0}, {connect_wrap(), POLLIN, 0}};
    while (poll(ready, 2, -1) >= 0) {
        if (ready[1].revents) {
            char line[8192];
            ssize_t size = read(ready[1].fd, line, sizeof line - 1);
            line[size > 0 ? size : 0] = 0;
            printf("event: %s", line);
            fflush(stdout);
            if (size <= 0 || strstr(line, "\"stop\"")) return 0;
        }
        if (ready[0].revents) {
            int player = accept(server, NULL, NULL);
            if (player >= 0 && fork() == 0) echo(player);
            close(player);
        }
    }
    return 1;
}
