/* sort.c -- sorts a file that is larger than the memory it may have
 *
 *     ALPS_MEMORY=256M sort FILE MIB
 *
 * Makes FILE of so many MiB of random numbers, 8 bytes each, maps it, with no
 * more of it in memory than the environment says, and sorts it in place by
 * quicksort: two scans that meet, which is kind to a memory of segments. Then
 * reads the file as any program would: the numbers are in order, and the same
 * ones. */
#define ALPS_BACKEND ALPS_PAGED
#define ALPS_FAULTS pages
#include "alps.h"

ALPS_HANDLER(pages);

static int failed(const char *what)
{
    perror(what);
    return 1;
}

/* xorshift64 (Marsaglia 2003). */
static uint64_t number(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* What does not change when numbers change places. */
struct sum {
    uint64_t n, sum, mixed;
};

static void add(struct sum *s, uint64_t x)
{
    s->n++;
    s->sum += x;
    s->mixed += x * x ^ x >> 7;
}

/* Sorts [a, a + n) (Hoare 1961): the smaller half by itself, the other on. */
static void sort(uint64_t *a, uint64_t n)
{
    while (n > 16) {
        uint64_t middle = a[n / 2], i = 0, j = n - 1;
        for (;; i++, j--) {
            while (a[i] < middle)
                i++;
            while (a[j] > middle)
                j--;
            if (i >= j)
                break;
            uint64_t x = a[i];
            a[i] = a[j];
            a[j] = x;
        }
        uint64_t left = j + 1;
        if (left < n - left) {
            sort(a, left);
            a += left;
            n -= left;
        } else {
            sort(a + left, n - left);
            n = left;
        }
    }
    for (uint64_t i = 1; i < n; i++)
        for (uint64_t j = i; j && a[j] < a[j - 1]; j--) {
            uint64_t x = a[j];
            a[j] = a[j - 1];
            a[j - 1] = x;
        }
}

/* Writes the file, by ordinary means. */
static int make(const char *path, uint64_t n, struct sum *s)
{
    uint64_t state = 0x2545f4914f6cdd1dull;
    FILE *f = fopen(path, "wb");
    if (!f)
        return failed(path);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = number(&state);
        add(s, x);
        if (fwrite(&x, sizeof x, 1, f) != 1)
            break;
    }
    return fclose(f) || s->n != n ? failed(path) : 0;
}

/* Reads it; whether it is in order, and what was made. */
static int sorted(const char *path, const struct sum *made)
{
    struct sum s = {0, 0, 0};
    uint64_t x, last = 0, wrong = 0;
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    while (fread(&x, sizeof x, 1, f) == 1) {
        wrong += x < last;
        last = x;
        add(&s, x);
    }
    fclose(f);
    return !wrong && s.n == made->n && s.sum == made->sum &&
           s.mixed == made->mixed;
}

int main(int argc, char **argv)
{
    size_t bytes = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) << 20 : 0;
    struct sum made = {0, 0, 0};
    if (!bytes) {
        fprintf(stderr, "sort FILE MIB\n");
        return 2;
    }
    if (make(argv[1], bytes / sizeof(uint64_t), &made))
        return 1;
    uint64_t *a = (uint64_t *)alps_umalloc(argv[1], bytes);
    if (!a)
        return failed(argv[1]);
    sort(a, bytes / sizeof *a);
    if (alps_ufree(a))
        return failed(argv[1]);
    if (!sorted(argv[1], &made))
        return fprintf(stderr, "sort: it is not sorted\n"), 1;
    printf("%llu numbers are in order.\n", (unsigned long long)made.n);
    return 0;
}
