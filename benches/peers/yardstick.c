// What the machine itself takes, as JSON: waking another process, and memcpy.

#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TURNS = 20000, COPIES = 30 };

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

static void must(int holds, const char *what) {
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static void pin(int cpu) {
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

static void say(int fd) {
    uint64_t one = 1;
    must(write(fd, &one, sizeof one) == sizeof one, "write");
}

static void hear(int fd) {
    uint64_t one;
    must(read(fd, &one, sizeof one) == sizeof one, "read");
}

// One way: half of the median time from a word to its answer. Both sides sleep until they are woken.
static double one_way(int by_pipe, int mine, int theirs) {
    int there[2], back[2];
    if (by_pipe) {
        must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    } else {
        there[0] = there[1] = eventfd(0, 0);
        back[0] = back[1] = eventfd(0, 0);
        must(there[0] >= 0 && back[0] >= 0, "eventfd");
    }
    fflush(stdout);
    pid_t other = fork();
    must(other >= 0, "fork");
    if (other == 0) {
        pin(theirs);
        for (int i = 0; i < TURNS; i++) hear(there[0]), say(back[1]);
        _exit(0);
    }
    cpu_set_t before;
    sched_getaffinity(0, sizeof before, &before);
    pin(mine);
    static double took[TURNS];
    for (int i = 0; i < TURNS; i++) {
        double start = now_us();
        say(there[1]);
        hear(back[0]);
        took[i] = now_us() - start;
    }
    waitpid(other, NULL, 0);
    sched_setaffinity(0, sizeof before, &before);
    for (int i = 0; i < 2; i++) {
        if (i && !by_pipe) break;
        close(there[i]);
        close(back[i]);
    }
    return median(took + TURNS / 10, TURNS - TURNS / 10) / 2;
}

static void wake(const char *name, int mine, int theirs) {
    printf("\"%s\":{\"eventfd\":%.2f,", name, one_way(0, mine, theirs));
    printf("\"pipe\":%.2f}", one_way(1, mine, theirs));
}

static char *room(size_t size, int flags) {
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
    must(at != MAP_FAILED, "mmap");
    return at;
}

// `flags` of a new mapping for each copy, whose pages are not there yet; 0 for one that was written before.
static double copy(size_t size, int flags) {
    char *from = room(size, MAP_PRIVATE), *warm = room(size, MAP_PRIVATE);
    memset(from, 1, size);
    memset(warm, 2, size);
    double took[COPIES];
    for (int i = 0; i < COPIES; i++) {
        char *to = flags ? room(size, flags) : warm;
        double start = now_us();
        memcpy(to, from, size);
        __asm__ volatile("" ::"r"(to) : "memory");
        took[i] = now_us() - start;
        if (flags) munmap(to, size);
    }
    munmap(from, size);
    munmap(warm, size);
    return median(took, COPIES);
}

int main(void) {
    int first = -1, second = -1;
    cpu_set_t allowed;
    must(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        if (first < 0) first = cpu;
        else if (second < 0) second = cpu;
    }
    printf("{\"wake\":{");
    wake("unpinned", -1, -1);
    printf(",");
    wake("one core", first, first);
    if (second >= 0) {
        printf(",");
        wake("two cores", first, second);
    }
    printf("},\"memcpy\":{");
    const int mib[] = {1, 16, 64};
    for (int i = 0; i < 3; i++) {
        size_t size = (size_t)mib[i] << 20;
        printf("%s\"%d\":{\"warm\":%.1f,", i ? "," : "", mib[i], copy(size, 0));
        printf("\"cold\":%.1f,\"cold, shared\":%.1f}", copy(size, MAP_PRIVATE), copy(size, MAP_SHARED));
    }
    printf("}}\n");
}
