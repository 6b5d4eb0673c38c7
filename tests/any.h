/* any.h -- a heap whose backend and policy a test chooses while it runs
 *
 * The instance is compiled once for all tests of a kind, in any.c. A test that
 * sets hooks of the header (ALPS_OBSERVE and such) says ANY_APART before: then
 * it has one of its own, as those in C++ have. */
#pragma once
#define ALPS_CORE_ONLY
#include "alps.h"

#if defined ANY_APART || defined __cplusplus
static alps_backend medium; // copies of the tables that were chosen
static alps_policy manner;

#  define ALPS_NAME any
#  define ALPS_BACKEND ALPS_USER
#  define ALPS_USER_BACKEND medium
#  define ALPS_POLICY ALPS_USER
#  define ALPS_USER_POLICY manner
#  include "alps.h"
#else
extern alps_backend medium;
extern alps_policy manner;
extern const alps_tables any_tables_;

#  ifdef ANY_HERE
#    define ALPS_NAME here
#    define ALPS_BACKEND ALPS_USER
#    define ALPS_USER_BACKEND medium
#    define ALPS_POLICY ALPS_USER
#    define ALPS_USER_POLICY manner
#    include "alps.h"
typedef here_heap any_heap;
#    define ANY(result, name, arguments) \
      result any_##name arguments __attribute__((alias("here_" #name)))
#  else
typedef struct any_heap {
    alps_handle core;
} any_heap;
#    define ANY(result, name, arguments) result any_##name arguments
#  endif

ANY(int, open, (any_heap * h, const char *path, const alps_options *o));
ANY(int, close, (any_heap * h));
ANY(int, discard, (any_heap * h));
ANY(int, grow, (any_heap * h, uint64_t size));
ANY(int, trim, (any_heap * h));
ANY(int, snapshot, (any_heap * h, const char *path));
ANY(int, copy, (const char *from, const char *to));
ANY(int, consistent, (const char *path));
ANY(int, inspect, (const char *path, alps_description *d));
ANY(int, set_description, (any_heap * h, const char *text));
ANY(int, remove, (const char *path));
ANY(void *, root, (any_heap * h, size_t n));
ANY(int, sync, (any_heap * h));
ANY(int, sync_begin, (any_heap * h));
ANY(int, sync_end, (any_heap * h));
ANY(void *, at, (const any_heap *h, alps_off off));
ANY(alps_off, off_of, (const any_heap *h, const void *p));
ANY(void *, alloc, (any_heap * h, size_t n));
ANY(void *, zalloc, (any_heap * h, size_t n));
ANY(void *, alloc_aligned, (any_heap * h, size_t align, size_t n));
ANY(void *, realloc, (any_heap * h, void *p, size_t n));
ANY(int, free, (any_heap * h, void *p));
ANY(size_t, usable, (const any_heap *h, const void *p));
ANY(void *, reserve, (any_heap * h, size_t n));
ANY(int, publish, (any_heap * h, alps_off *dest, void *p));
ANY(int, cancel, (any_heap * h, void *p));
ANY(int, release, (any_heap * h, alps_off *dest));
ANY(int, reap, (any_heap * h));
ANY(uint64_t, deaths, (const any_heap *h));
ANY(int, enter, (any_heap * h));
ANY(int, leave, (any_heap * h));
ANY(int, retire, (any_heap * h, void *p));
ANY(int, flush, (any_heap * h, const void *p, size_t n));
ANY(int, fence, (any_heap * h));
ANY(int, persist, (any_heap * h, const void *p, size_t n));
ANY(int, each, (any_heap * h, alps_visit *visit, void *context));
ANY(int, check, (any_heap * h, alps_report *r));
ANY(int, repair, (const char *path, alps_repaired *r));
ANY(int, salvage,
    (any_heap * h, alps_visit *visit, void *context, uint64_t *skipped));
ANY(int, collect,
    (any_heap * h, alps_refers *refers, void *context, alps_collected *sum));
ANY(int, refer, (alps_collecting * c, const void *p));
ANY(int, stats, (any_heap * h, alps_statistics *s));
ANY(int, describe, (any_heap * h, alps_description *d));
ANY(int, error, (const any_heap *h));
ANY(const char *, strerror, (int code));
ANY(void *, construct_as, (any_heap * h, alps_naming as));
ANY(void *, find_or_construct_as, (any_heap * h, alps_naming as));
ANY(void *, find_as, (any_heap * h, alps_naming as, size_t *n));
ANY(int, destroy_as, (any_heap * h, alps_naming as));
ANY(void *, construct, (any_heap * h, const char *name, size_t n));
ANY(void *, find, (any_heap * h, const char *name, size_t *n));
ANY(void *, find_or_construct, (any_heap * h, const char *name, size_t n));
ANY(int, destroy, (any_heap * h, const char *name));
ANY(int, named, (const any_heap *h, const void *p, alps_naming *as));
ANY(int, redescribe, (any_heap * h, void *p, const char *text, size_t n));
ANY(int, each_name, (any_heap * h, alps_name_visit *visit, void *context));
ANY(int, begin, (any_heap * h, alps_tx *t));
ANY(int, tx_set, (alps_tx * t, uint64_t *word, uint64_t value));
ANY(int, tx_publish, (alps_tx * t, alps_off *dest, void *p));
ANY(int, tx_publish_new,
    (alps_tx * t, alps_off *dest, size_t n, alps_make *make, void *context));
ANY(int, tx_release, (alps_tx * t, alps_off *dest));
ANY(int, tx_free, (alps_tx * t, void *p));
ANY(int, tx_snapshot, (alps_tx * t, void *p, size_t n));
ANY(int, tx_snapshot_all, (alps_tx * t, const alps_range *range, unsigned n));
ANY(int, commit, (alps_tx * t));
ANY(int, abort, (alps_tx * t));
ANY(int, publish_new,
    (any_heap * h, alps_off *dest, size_t n, alps_make *make, void *context));
#endif

/* The next opens are of this kind. */
static inline void choose(const alps_backend *b, const alps_policy *p)
{
    medium = *b;
    manner = *p;
}
