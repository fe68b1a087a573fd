/* Lets the n-th write, fsync or rename below a folder fail: LD_PRELOAD, FAIL_BELOW=folder, FAIL_AT=n, FAIL_WITH=errno,
   FAIL_ALWAYS=1 for all that follow too. NO_FLOCK=1: a file system without locks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long seen = 0;

static int fails_at(const char *path) {
    const char *below = getenv("FAIL_BELOW"), *at = getenv("FAIL_AT");
    if (!below || !at || strncmp(path, below, strlen(below))) return 0;
    long number = atomic_fetch_add(&seen, 1) + 1;
    if (number == atol(at) || (number > atol(at) && getenv("FAIL_ALWAYS"))) {
        errno = atoi(getenv("FAIL_WITH"));
        return 1;
    }
    return 0;
}

static int fails(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fails_at(path);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    return fails(descriptor) ? -1 : real(descriptor, bytes, count);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    return fails(descriptor) ? -1 : real(descriptor, bytes, count, offset);
}

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real) real = dlsym(RTLD_NEXT, "writev");
    return fails(descriptor) ? -1 : real(descriptor, pieces, count);
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    return fails(descriptor) ? -1 : real(descriptor);
}

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    if (!real) real = dlsym(RTLD_NEXT, "rename");
    return fails_at(to) ? -1 : real(from, to);
}

int flock(int descriptor, int operation) {
    static int (*real)(int, int);
    if (!real) real = dlsym(RTLD_NEXT, "flock");
    if (getenv("NO_FLOCK")) {
        errno = ENOLCK;
        return -1;
    }
    return real(descriptor, operation);
}
