// client PORT REQUEST REPEAT CONCURRENCY [SHARED BYTES]
//
// Sends the file REQUEST, a whole HTTP request, again and again over CONCURRENCY connections that stay open, each with
// one request on its way, and prints as JSON how long the answers took. It is in C so that a server is measured and not
// its client. With SHARED, BYTES of that shared memory are written anew before each request, which counts as part of it.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 65536, MOST = 256 };

struct line {
    int fd;
    double since;
    size_t held;
    char answer[ROOM];
};

static struct line lines[MOST];
static char request[ROOM];
static size_t request_size;
static char *shared;
static size_t shared_size;
static double fill_us;

static void must(int holds, const char *what) {
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *of, int count) {
    qsort(of, count, sizeof *of, ascending);
    return of[count / 2];
}

static void ask(struct line *line) {
    line->since = now_us();
    line->held = 0;
    if (shared) {
        memset(shared, (int)line->since, shared_size);
        fill_us = now_us() - line->since;
    }
    must(write(line->fd, request, request_size) == (ssize_t)request_size, "write");
}

// Takes what has come; whether the answer is whole.
static int take(struct line *line) {
    ssize_t got = read(line->fd, line->answer + line->held, ROOM - 1 - line->held);
    must(got > 0, "read");
    line->held += got;
    line->answer[line->held] = 0;
    char *end = strstr(line->answer, "\r\n\r\n");
    if (!end) return 0;
    char *length = strcasestr(line->answer, "\r\nContent-Length:");
    must(length && length < end, "an answer without its length");
    size_t whole = end + 4 - line->answer + strtoul(length + 17, NULL, 10);
    if (line->held < whole) return 0;
    if (strncmp(line->answer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "%s\n", line->answer);
        exit(1);
    }
    return 1;
}

int main(int argc, char **argv) {
    must(argc == 5 || argc == 7, "client PORT REQUEST REPEAT CONCURRENCY [SHARED BYTES]");
    int repeat = atoi(argv[3]), many = atoi(argv[4]);
    must(repeat > 0 && many > 0 && many <= MOST && many <= repeat, "a count out of range");
    FILE *file = fopen(argv[2], "rb");
    must(file != NULL, argv[2]);
    request_size = fread(request, 1, ROOM, file);
    if (argc == 7) {
        shared_size = strtoul(argv[6], NULL, 10);
        int fd = shm_open(argv[5], O_RDWR, 0);
        must(fd >= 0, argv[5]);
        shared = mmap(NULL, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        must(shared != MAP_FAILED, "mmap");
    }

    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct pollfd waits[MOST];
    for (int i = 0; i < many; i++) {
        int at_once = 1;
        lines[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        must(connect(lines[i].fd, (struct sockaddr *)&server, sizeof server) == 0, "connect");
        setsockopt(lines[i].fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
        waits[i] = (struct pollfd){.fd = lines[i].fd, .events = POLLIN};
    }

    double *took = calloc(repeat, sizeof *took), *filled = calloc(repeat, sizeof *filled);
    must(took && filled, "calloc");
    double start = now_us();
    int sent = 0, done = 0;
    for (; sent < many; sent++) ask(&lines[sent]);
    while (done < repeat) {
        // One that is alone waits in `read`, as a client would that has nothing else to do.
        if (many > 1) must(poll(waits, many, -1) > 0, "poll");
        for (int i = 0; i < many; i++) {
            if (many > 1 && !(waits[i].revents & (POLLIN | POLLHUP | POLLERR))) continue;
            if (!take(&lines[i])) continue;
            filled[done] = fill_us;
            took[done++] = now_us() - lines[i].since;
            if (sent < repeat) ask(&lines[i]), sent++;
        }
    }
    double seconds = (now_us() - start) / 1e6;
    char *body = strstr(lines[0].answer, "\r\n\r\n") + 4;
    // The last eight bytes of an answer in binary: the number that the chain of the hand-over ends in.
    long long number = 0;
    if (lines[0].answer + lines[0].held - body >= 8) memcpy(&number, lines[0].answer + lines[0].held - 8, 8);
    printf("{\"p50_us\":%.2f,\"fill_us\":%.2f,\"per_second\":%.1f,\"number\":%lld}\n", median(took, repeat),
           median(filled, repeat), repeat / seconds, number);
}
