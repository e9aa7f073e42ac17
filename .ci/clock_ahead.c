/*
 * A library to preload: the wall clock, and the times of files, ten years ahead.
 *
 * Monotonic clocks stay, as they would on a machine whose date is wrong. Times of files are kept in
 * real time and shifted when they are read and set, so that new files look new.
 *
 *     cc -O2 -shared -fPIC -o clock_ahead.so clock_ahead.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#define AHEAD (10L * 365 * 24 * 3600)

/* clocks */

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += AHEAD;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}

/* waiting until a time of day */

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec shifted = {until->tv_sec - AHEAD, until->tv_nsec};
    return real(semaphore, &shifted);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec shifted = *until;
    if (shifted.tv_sec > AHEAD) shifted.tv_sec -= AHEAD; /* otherwise of a monotonic clock */
    return real(condition, mutex, &shifted);
}

/* reading times of files; stat64 has the layout of stat on 64-bit machines */

int fstatat(int directory, const char *restrict path, struct stat *restrict status, int flags) {
    int result = syscall(SYS_newfstatat, directory, path, status, flags);
    if (result == 0) {
        status->st_atim.tv_sec += AHEAD;
        status->st_mtim.tv_sec += AHEAD;
        status->st_ctim.tv_sec += AHEAD;
    }
    return result;
}

int stat(const char *restrict path, struct stat *restrict status) {
    return fstatat(AT_FDCWD, path, status, 0);
}

int lstat(const char *restrict path, struct stat *restrict status) {
    return fstatat(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}

int fstat(int file, struct stat *status) { return fstatat(file, "", status, AT_EMPTY_PATH); }

int fstatat64(int directory, const char *restrict path, struct stat64 *restrict status, int flags) {
    return fstatat(directory, path, (struct stat *)status, flags);
}

int stat64(const char *restrict path, struct stat64 *restrict status) {
    return stat(path, (struct stat *)status);
}

int lstat64(const char *restrict path, struct stat64 *restrict status) {
    return lstat(path, (struct stat *)status);
}

int fstat64(int file, struct stat64 *status) { return fstat(file, (struct stat *)status); }

int statx(int directory, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict status) {
    int result = syscall(SYS_statx, directory, path, flags, mask, status);
    if (result == 0) {
        status->stx_atime.tv_sec += AHEAD;
        status->stx_mtime.tv_sec += AHEAD;
        status->stx_ctime.tv_sec += AHEAD;
        status->stx_btime.tv_sec += AHEAD;
    }
    return result;
}

/* setting them */

static int set_times(int directory, const char *path, const struct timespec times[2], int flags) {
    struct timespec shifted[2];
    for (int i = 0; times && i < 2; i++) {
        shifted[i] = times[i];
        if (times[i].tv_nsec != UTIME_NOW && times[i].tv_nsec != UTIME_OMIT)
            shifted[i].tv_sec -= AHEAD;
    }
    return syscall(SYS_utimensat, directory, path, times ? shifted : NULL, flags);
}

static int set_rough_times(int directory, const char *path, const struct timeval times[2],
                           int flags) {
    struct timespec precise[2];
    for (int i = 0; times && i < 2; i++) {
        precise[i].tv_sec = times[i].tv_sec;
        precise[i].tv_nsec = times[i].tv_usec * 1000;
    }
    return set_times(directory, path, times ? precise : NULL, flags);
}

int utimensat(int directory, const char *path, const struct timespec times[2], int flags) {
    return set_times(directory, path, times, flags);
}

int futimens(int file, const struct timespec times[2]) { return set_times(file, NULL, times, 0); }

int utimes(const char *path, const struct timeval times[2]) {
    return set_rough_times(AT_FDCWD, path, times, 0);
}

int lutimes(const char *path, const struct timeval times[2]) {
    return set_rough_times(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

int futimes(int file, const struct timeval times[2]) {
    return set_rough_times(file, NULL, times, 0);
}

int utime(const char *path, const struct utimbuf *times) {
    struct timeval rough[2];
    if (times) {
        rough[0] = (struct timeval){.tv_sec = times->actime};
        rough[1] = (struct timeval){.tv_sec = times->modtime};
    }
    return set_rough_times(AT_FDCWD, path, times ? rough : NULL, 0);
}
