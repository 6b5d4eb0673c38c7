/* tsan.c -- what the compiler calls before every load and store of the unit
 *
 * The unit is compiled with -fsanitize=thread and linked with this in place
 * of libtsan. The unit's memcpy, memmove and memset are renamed to the ones
 * at the end (see rules.mk). A call-out comes before its access; atomics are
 * carried out here. */
#include "sim.h"

#if defined(__x86_64__)
#  include <cpuid.h>
#endif
#include <string.h>

/* The names are the compiler's. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void __tsan_init(void)
{
}

void __tsan_func_entry(void *from)
{
    (void)from;
}

void __tsan_func_exit(void)
{
}

#define ACCESS(n)                         \
  void __tsan_read##n(void *p)            \
  {                                       \
    sim_saw_read(p, n);                   \
  }                                       \
  void __tsan_write##n(void *p)           \
  {                                       \
    sim_saw_write(p, n);                  \
  }                                       \
  void __tsan_unaligned_read##n(void *p)  \
  {                                       \
    sim_saw_read(p, n);                   \
  }                                       \
  void __tsan_unaligned_write##n(void *p) \
  {                                       \
    sim_saw_write(p, n);                  \
  }                                       \
  void __tsan_read_write##n(void *p)      \
  {                                       \
    sim_saw_read(p, n);                   \
    sim_saw_write(p, n);                  \
  }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_read_range(void *p, size_t n)
{
    sim_saw_read(p, n);
}

void __tsan_write_range(void *p, size_t n)
{
    sim_saw_write(p, n);
}

#define UPDATE(bits, name, type, builtin)                        \
  type __tsan_atomic##bits##_##name(type *p, type v, int order); \
  type __tsan_atomic##bits##_##name(type *p, type v, int order)  \
  {                                                              \
    (void)order;                                                 \
    sim_point(p, 1);                                             \
    sim_saw_read(p, sizeof *p);                                  \
    sim_saw_locked();                                            \
    sim_saw_write(p, sizeof *p);                                 \
    return builtin(p, v, __ATOMIC_SEQ_CST);                      \
  }
#define EXCHANGE(bits, name, type)                                     \
  int __tsan_atomic##bits##_compare_exchange_##name(                   \
      type *p, type *old, type v, int order, int otherwise);           \
  int __tsan_atomic##bits##_compare_exchange_##name(                   \
      type *p, type *old, type v, int order, int otherwise)            \
  {                                                                    \
    (void)order;                                                       \
    (void)otherwise;                                                   \
    sim_point(p, 1);                                                   \
    sim_saw_read(p, sizeof *p);                                        \
    sim_saw_locked();                                                  \
    sim_saw_write(p, sizeof *p);                                       \
    return __atomic_compare_exchange_n(p, old, v, 0, __ATOMIC_SEQ_CST, \
                                       __ATOMIC_SEQ_CST);              \
  }
#define ATOMIC(bits, type)                                      \
  type __tsan_atomic##bits##_load(const type *p, int order);    \
  type __tsan_atomic##bits##_load(const type *p, int order)     \
  {                                                             \
    (void)order;                                                \
    sim_point(p, 0);                                            \
    sim_saw_read(p, sizeof *p);                                 \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                \
  }                                                             \
  void __tsan_atomic##bits##_store(type *p, type v, int order); \
  void __tsan_atomic##bits##_store(type *p, type v, int order)  \
  {                                                             \
    sim_point(p, 1);                                            \
    if (order == __ATOMIC_SEQ_CST)                              \
      sim_saw_locked();                                         \
    sim_saw_write(p, sizeof *p);                                \
    __atomic_store_n(p, v, __ATOMIC_RELAXED);                   \
  }                                                             \
  UPDATE(bits, exchange, type, __atomic_exchange_n)             \
  UPDATE(bits, fetch_add, type, __atomic_fetch_add)             \
  UPDATE(bits, fetch_sub, type, __atomic_fetch_sub)             \
  UPDATE(bits, fetch_or, type, __atomic_fetch_or)               \
  UPDATE(bits, fetch_and, type, __atomic_fetch_and)             \
  UPDATE(bits, fetch_xor, type, __atomic_fetch_xor)             \
  EXCHANGE(bits, strong, type)                                  \
  EXCHANGE(bits, weak, type)
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

void __tsan_atomic_thread_fence(int order)
{
    if (order == __ATOMIC_SEQ_CST)
        sim_saw_locked();
}

void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

void *sim_memcpy(void *to, const void *from, size_t n);
void *sim_memcpy(void *to, const void *from, size_t n)
{
    sim_saw_read(from, n);
    sim_saw_write(to, n);
    return memcpy(to, from, n);
}

void *sim_memmove(void *to, const void *from, size_t n);
void *sim_memmove(void *to, const void *from, size_t n)
{
    sim_saw_read(from, n);
    sim_saw_write(to, n);
    return memmove(to, from, n);
}

void *sim_memset(void *to, int value, size_t n);
void *sim_memset(void *to, int value, size_t n)
{
    sim_saw_write(to, n);
    return memset(to, value, n);
}

int sim_memcmp(const void *a, const void *b, size_t n);
int sim_memcmp(const void *a, const void *b, size_t n)
{
    sim_saw_read(a, n);
    sim_saw_read(b, n);
    return memcmp(a, b, n);
}

/* ---- what else of the unit is renamed ---- */

int sim_no_file(const char *path, int flags, ...);
int sim_no_file(const char *path, int flags, ...)
{
    (void)path;
    (void)flags;
    return -1; // neither /proc nor /dev/urandom: images repeat
}

int sim_no_nap(const void *time, void *rest);
int sim_no_nap(const void *time, void *rest)
{
    (void)time;
    (void)rest;
    sim_waits();
    return 0;
}

int sim_no_yield(void);
int sim_no_yield(void)
{
    sim_waits();
    return 0;
}

#if defined(__x86_64__)
/* CPUID, remembered. */
int sim_cpuid(unsigned leaf, unsigned sub, unsigned *a, unsigned *b,
              unsigned *c, unsigned *d)
{
    static struct {
        unsigned leaf, sub, a, b, c, d;
        int answer;
    } known[4];
    static unsigned n;
    unsigned i = 0;
    while (i < n && (known[i].leaf != leaf || known[i].sub != sub))
        i++;
    if (i == 4)
        return __get_cpuid_count(leaf, sub, a, b, c, d);
    if (i == n) {
        known[i].leaf = leaf;
        known[i].sub = sub;
        known[i].answer = __get_cpuid_count(leaf, sub, &known[i].a, &known[i].b,
                                            &known[i].c, &known[i].d);
        n++;
    }
    *a = known[i].a;
    *b = known[i].b;
    *c = known[i].c;
    *d = known[i].d;
    return known[i].answer;
}
#endif
