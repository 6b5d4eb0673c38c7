/* check.h -- what a test program is made of
 *
 * A test is a function named after what holds. CHECK and CHECK_EQ count and go
 * on; RUN calls a test and prints a line; `return check_end("name")` closes.
 * None of it is assert(): all of it also holds with NDEBUG. */
#pragma once
#include <stdio.h>

/* Sanitizers and emulators are slow: they get fewer rounds of everything. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    defined(__aarch64__)
#  define SLOW 5u
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#    define SLOW 5u
#  endif
#endif
#ifndef SLOW
#  define SLOW 1u
#endif

static unsigned check_passed_, check_failed_, check_skipped_; // tests
static unsigned check_bad_;     // checks of the test that runs
static const char *check_skip_; // why it was skipped, or NULL

/* Remarks that `cond` holds, or where it does not. */
#define CHECK(cond) check_that_(!!(cond), #cond, __FILE__, __LINE__)

/* The same for two integers that should be equal, and tells both. */
#define CHECK_EQ(got, want)                                                \
  check_equal_((long long)(got), (long long)(want), #got, #want, __FILE__, \
               __LINE__)

/* Calls the test `name`. */
#define RUN(name) check_run_(name, #name)

/* Inside a test: it cannot be made here, for this reason. Then return. */
#define SKIP(why) (void)(check_skip_ = (why))

/* What tells a child from its parent; without it there is nothing to test. */
#define NO_WIPE "the emulator knows no memory that a fork empties"

static inline int check_that_(int holds, const char *text, const char *file,
                              int line)
{
    if (holds)
        return 1;
    check_bad_++;
    printf("  %s:%d: %s does not hold\n", file, line, text);
    return 0;
}

static inline int check_equal_(long long got, long long want, const char *is,
                               const char *should, const char *file, int line)
{
    if (got == want)
        return 1;
    check_bad_++;
    printf("  %s:%d: %s is %lld, not %s = %lld\n", file, line, is, got, should,
           want);
    return 0;
}

static inline void check_run_(void (*test)(void), const char *name)
{
    check_bad_ = 0;
    check_skip_ = NULL;
    test();
    check_failed_ += check_bad_ != 0;
    check_skipped_ += !check_bad_ && check_skip_;
    check_passed_ += !check_bad_ && !check_skip_;
    if (check_bad_)
        printf("FAIL %s: %u checks, see above\n", name, check_bad_);
    else if (check_skip_)
        printf("skip %s: %s\n", name, check_skip_);
    else
        printf("ok %s\n", name);
    fflush(stdout);
}

/* The closing line; answers the exit status. */
static inline int check_end(const char *name)
{
    printf("%s: %u passed, %u failed", name, check_passed_, check_failed_);
    if (check_skipped_)
        printf(", %u skipped", check_skipped_);
    printf("\n");
    return check_failed_ != 0;
}
