/* The peer that benchmarks/scan_cpu.py measures against: open, read and scan files with Hyperscan, nothing else.
 *
 *   hyperscan_harness PATTERNS FILES WORKERS MODE
 *
 * PATTERNS: one "id<TAB>regex" a line. FILES: NUL-separated paths. MODE: scan, or read (open and read only).
 * WORKERS processes take files from a shared counter in turns of 64. All patterns are one block-mode database with
 * HS_FLAG_SINGLEMATCH: at most one call back for each file and rule, which is the least that a scanner needs.
 * Prints: bytes, (file, rule) hits, seconds of the scan without compiling.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <hs/hs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TURN = 64 };

struct shared {
    atomic_size_t next;
    atomic_ullong bytes, hits;
};

static char *slurp(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) { perror(path); exit(2); }
    char *data = malloc(st.st_size + 1);
    *size = 0;
    for (ssize_t n; (n = read(fd, data + *size, st.st_size - *size)) > 0;) *size += n;
    data[*size] = 0;
    close(fd);
    return data;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *hits) {
    (void)id; (void)from; (void)to; (void)flags;
    ++*(unsigned long long *)hits;
    return 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "usage: %s PATTERNS FILES WORKERS scan|read\n", argv[0]); return 2; }
    size_t size, n = 0, files = 0;
    char *text = slurp(argv[1], &size);
    const char **patterns = malloc((size / 2 + 1) * sizeof *patterns);
    unsigned *ids = malloc((size / 2 + 1) * sizeof *ids), *flags = malloc((size / 2 + 1) * sizeof *flags);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *tab = strchr(line, '\t');
        ids[n] = atoi(line);
        patterns[n] = tab + 1;
        flags[n++] = HS_FLAG_SINGLEMATCH;
    }
    char *list = slurp(argv[2], &size);
    char **paths = malloc((size / 2 + 1) * sizeof *paths);
    for (char *p = list; p < list + size; p += strlen(p) + 1) paths[files++] = p;

    hs_database_t *db;
    hs_compile_error_t *error;
    if (hs_compile_multi(patterns, flags, ids, n, HS_MODE_BLOCK, NULL, &db, &error)) {
        fprintf(stderr, "pattern %d: %s\n", error->expression, error->message);
        return 2;
    }
    int scan = !strcmp(argv[4], "scan"), workers = atoi(argv[3]);
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = now();
    for (int w = 0; w < workers; ++w) {
        if (fork()) continue;
        hs_scratch_t *scratch = NULL;
        hs_alloc_scratch(db, &scratch);
        size_t room = 1 << 20;
        char *buffer = malloc(room);
        unsigned long long bytes = 0, hits = 0;
        for (size_t i; (i = atomic_fetch_add(&s->next, TURN)) < files;) {
            for (size_t end = i + TURN < files ? i + TURN : files; i < end; ++i) {
                int fd = open(paths[i], O_RDONLY);
                struct stat st;
                if (fd < 0 || fstat(fd, &st)) { perror(paths[i]); _exit(2); }
                if ((size_t)st.st_size > room) buffer = realloc(buffer, room = st.st_size);
                size_t got = 0;
                for (ssize_t r; (r = read(fd, buffer + got, st.st_size - got)) > 0;) got += r;
                close(fd);
                bytes += got;
                if (scan && got) hs_scan(db, buffer, got, 0, scratch, on_match, &hits);
            }
        }
        atomic_fetch_add(&s->bytes, bytes);
        atomic_fetch_add(&s->hits, hits);
        _exit(0);
    }
    for (int status; wait(&status) > 0;)
        if (status) return 2;
    printf("%llu %llu %.6f\n", (unsigned long long)s->bytes, (unsigned long long)s->hits, now() - began);
    return 0;
}
