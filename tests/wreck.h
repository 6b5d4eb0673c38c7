/* wreck.h -- a region in an array, whose power fails
 *
 * Of what was stored between two syncs or fences any words may have reached the
 * medium. At each of them a test may have such a mixture made, and what comes
 * of that be looked at. */
#pragma once
#include "any.h"
#include "check.h"
#include "image.h"
#include <setjmp.h>

#define WRECK_BYTES (256u << 10)

static image scene;                          // the medium
static unsigned char wreck_sure[IMAGE_ROOM]; // as of the last barrier
static unsigned long wreck_barriers;         // so far
static unsigned long wreck_at;               // the power fails at this one
static jmp_buf wreck_back;                   // and this goes on
static uint64_t wreck_dice = 88172645463325252ull;

static inline uint64_t wreck_throw(uint64_t n)
{
    wreck_dice ^= wreck_dice << 13;
    wreck_dice ^= wreck_dice >> 7;
    wreck_dice ^= wreck_dice << 17;
    return wreck_dice * 0x2545f4914f6cdd1dull % n;
}

/* Of each word that was stored to since the last barrier the medium has the old
 * value or the new one. */
static inline void wreck_mix(void)
{
    uint64_t *now = (uint64_t *)(void *)scene.bytes;
    const uint64_t *sure = (const uint64_t *)(const void *)wreck_sure;
    uint64_t kind = wreck_throw(4); // none, all, most, as it comes
    for (uint64_t i = 0; i < scene.length / 8; i++)
        if (now[i] != sure[i] &&
            (kind == 0 || (kind == 2 && wreck_throw(8) == 0) ||
             (kind == 3 && wreck_throw(2))))
            now[i] = sure[i];
}

static inline int wreck_barrier(void)
{
    if (!wreck_at)
        return 0;
    if (++wreck_barriers == wreck_at) {
        wreck_mix();
        wreck_at = 0;
        longjmp(wreck_back, 1);
    }
    memcpy(wreck_sure, scene.bytes, scene.length);
    return 0;
}

static inline int wreck_sync(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return wreck_barrier();
}

static inline int wreck_fence(alps_map *m, const alps_backend *b)
{
    (void)m;
    (void)b;
    return wreck_barrier();
}

/* From now on the power fails at barrier `at`; 0: it does not. */
static inline void wreck_begin(unsigned long at)
{
    wreck_barriers = 0;
    wreck_at = at;
    memcpy(wreck_sure, scene.bytes, scene.length);
}

/* The options of the region: of 30 extents of 8 KiB or so. */
static inline alps_options wreck_options(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = o.limit = WRECK_BYTES;
    o.extent = 8192;
    o.lanes = 4;
    o.processes = 2;
    o.layout = "wreck";
    return o;
}

/* Chooses backend and policy; once. */
static inline int wreck_choose(void)
{
    choose(&image_backend, &image_policy);
    medium.sync = wreck_sync;
    manner.fence = wreck_fence;
    return scene.bytes ? 0 : image_make(&scene);
}

static inline int wreck_open(any_heap *h, unsigned flags)
{
    alps_options o = wreck_options();
    o.flags = flags;
    return any_open(h, image_path(&scene), &o);
}
