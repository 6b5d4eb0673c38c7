/* sites.c -- flushes and fences by source line, and leaving them out
 *
 * The policy is inlined into the core, so every flush, fence and stream of the
 * library calls sim_at_site() from an address of its own. A site is named by
 * what addr2line makes of that address. */
#include "sim.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../core/policy.h"

static struct {
    const void *at;
    int event;
    unsigned parts; /* of a run that came by, a bit each */
} sites[SIM_SITES];
static unsigned count;

/* Up to three sites are off, by number + 1. */
unsigned sim_sites_off[3];

/* The part of a run that is under way. */
unsigned sim_part;

unsigned sim_site_count(void)
{
    return count;
}

int sim_site_event(unsigned site)
{
    return sites[site].event;
}

/* The number of the site; SIM_SITES where there are too many. */
unsigned sim_site(int event, const void *at)
{
    unsigned i = 0;
    while (i < count && sites[i].at != at)
        i++;
    if (i == SIM_SITES)
        return SIM_SITES;
    if (i == count) {
        sites[count].at = at;
        sites[count++].event = event;
    }
    sites[i].parts |= 1u << sim_part;
    return i;
}

/* Whether this part may end otherwise than with nothing left out: not if it
 * came by no place that is off. */
int sim_part_differs(void)
{
    int off = 0;
    for (unsigned i = 0; i < 3; i++) {
        unsigned site = sim_sites_off[i];
        off |= site != 0;
        if (site && (site > count || sites[site - 1].parts >> sim_part & 1))
            return 1;
    }
    return !off;
}

int sim_site_is_off(unsigned site)
{
    for (unsigned i = 0; i < 3; i++)
        if (sim_sites_off[i] == site + 1)
            return 1;
    return 0;
}

static const char *act(int event)
{
    switch (event) {
    case ALPS_SAW_FLUSH: return "flush";
    case ALPS_SAW_FENCE: return "fence";
    case ALPS_SAW_STREAM: return "stream";
    case ALPS_SAW_LOCK: return "lock";
    case SIM_SAW_SETTLE: return "settle";
    case SIM_SAW_SYNC: return "sync";
    default: return "?";
    }
}

/* One "function file:line" of addr2line: the part after the last slash. */
static void add_place(char *text, size_t size, const char *function,
                      const char *place)
{
    const char *file = strrchr(place, '/');
    size_t used = strlen(text);
    snprintf(text + used, size - used, " < %s (%s)", function,
             file ? file + 1 : place);
}

/* "flush < alps_alloc_ (heap.h:120) < ...". Asked for once. */
const char *sim_site_name(unsigned site)
{
    static char names[SIM_SITES][1024];
    char *text = names[site];
    size_t size = sizeof names[site];
    char command[128], function[256], place[512];
    if (*text)
        return text;
    snprintf(text, size, "%s", act(sites[site].event));
    snprintf(command, sizeof command, "addr2line -ife /proc/%ld/exe %p",
             (long)getpid(), (const void *)((const char *)sites[site].at - 1));
    FILE *f = popen(command, "r");
    while (f && fgets(function, sizeof function, f) &&
           fgets(place, sizeof place, f)) {
        function[strcspn(function, "\n")] = 0;
        place[strcspn(place, " \n")] = 0;
        if (strncmp(function, "sim_", 4) && strcmp(function, "alps_fence_"))
            add_place(text, size, function, place);
    }
    if (f)
        pclose(f);
    return text;
}
