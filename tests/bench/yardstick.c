// yardstick PORT WORKERS: the least that a server of "Hello, World!" can do on this machine. Each worker is an epoll
// loop around one recv and one send; it looks for the end of the head and for "Connection: close", and for nothing
// else. No server should be built like this: the benchmark shows it to tell what the kernel alone costs.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nServer: yardstick\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 14\r\n";
static const char KEEP[] = "\r\nHello, World!\n";
static const char CLOSE[] = "Connection: close\r\n\r\nHello, World!\n";

static int listen_on(int port) {
    // A socket for each worker: the kernel spreads connections evenly over them.
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    // A connection is accepted when its request has come, so most of them need no epoll_ctl and no second wake-up.
    setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        err(1, "cannot listen on port %d", port);
    return listener;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        err(1, "epoll_ctl");
}

// Answers what has come; returns whether the connection stays open. A head that arrives in parts is not put together:
// the load generator sends it at once.
static int answer(int fd) {
    static char request[65536], response[512];
    ssize_t length = recv(fd, request, sizeof request, 0);
    if (length < 0 && errno == EAGAIN)
        return 1;
    if (length <= 0 || !memmem(request, length, "\r\n\r\n", 4))
        return 0;
    int last = memmem(request, length, "\r\nConnection: close", 19) != NULL;
    size_t size = sizeof HEAD - 1, rest = last ? sizeof CLOSE - 1 : sizeof KEEP - 1;
    memcpy(response, HEAD, size);
    memcpy(response + size, last ? CLOSE : KEEP, rest);
    return send(fd, response, size + rest, MSG_NOSIGNAL) >= 0 && !last;
}

static void serve(int listener) {
    int epoll = epoll_create1(0), yes = 1;
    struct epoll_event events[64];
    watch(epoll, listener);
    for (;;) {
        int count = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                if (!answer(fd))
                    close(fd);
                continue;
            }
            fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            if (answer(fd))
                watch(epoll, fd);
            else
                close(fd);
        }
    }
}

int main(int count, char **arguments) {
    if (count != 3)
        errx(64, "usage: yardstick PORT WORKERS");
    int port = atoi(arguments[1]), workers = atoi(arguments[2]);
    for (int i = 0; i < workers; i++) {
        pid_t parent = getpid(), child = fork();
        if (child < 0)
            err(1, "fork");
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                return 0;
            serve(listen_on(port));
        }
    }
    while (wait(NULL) > 0) {
    }
    return 1;
}
