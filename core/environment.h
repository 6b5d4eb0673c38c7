/* environment.h -- options that the program left open
 *
 * Who runs a program may say how its regions are made and opened, where the
 * program has not: docs/options.md has the table. What cannot be read is
 * refused, so that who mistypes learns of it. */
#pragma once
#include "amount.h"
#include "backend.h"

/* A number that is asked for where `*n` is 0. */
ALPS_COLD_ int alps_environment_word_(const char *name, unsigned *n)
{
    uint64_t value = *n;
    int err = value ? ALPS_OK : alps_amount_asked_(name, &value);
    if (!err && value > UINT32_MAX)
        err = ALPS_EINVAL;
    if (!err)
        *n = (unsigned)value;
    return err;
}

/* Fills in what the program left 0. ALPS_EINVAL: a variable is no number. */
ALPS_COLD_ int alps_environment_(alps_options *o)
{
    const struct {
        const char *name;
        uint64_t *n;
    } wide[] = {{"ALPS_SIZE", &o->size},     {"ALPS_LIMIT", &o->limit},
                {"ALPS_EXTENT", &o->extent}, {"ALPS_SMALL", &o->small},
                {"ALPS_GROW", &o->grow},     {"ALPS_NODES", &o->nodes}};
    uint64_t strict = 0;
    int err = alps_amount_asked_("ALPS_STRICT", &strict);
    if (strict)
        o->flags |= ALPS_STRICT;
    for (unsigned i = 0; !err && i < sizeof wide / sizeof *wide; i++)
        if (!*wide[i].n)
            err = alps_amount_asked_(wide[i].name, wide[i].n);
    if (!err)
        err = alps_environment_word_("ALPS_LANES", &o->lanes);
    if (!err)
        err = alps_environment_word_("ALPS_PROCESSES", &o->processes);
    return err ? err : alps_environment_word_("ALPS_SHARDS", &o->shards);
}
