/* audit.h -- what the first page, the lanes and their logs refer to
 *
 * The superblock against its spare, pledges against what is live, lanes against
 * what they hold, the log of a transaction against the chunks it is in. Of a
 * lane whose thread is at work only words are looked at, and once more where
 * they seem wrong; its log is its own. */
#pragma once
#include "check.h"
#include "space.h"
#include "pledge.h"

/* Bits that no count of a lane reaches. */
#define ALPS_RETIRED_MAX_ 48

/* The first page: the superblock as it is on the medium, its spare, and words
 * beside it. A region that is older than the spare has zeroes there. */
ALPS_FN_ void alps_audit_super_(const alps_handle *h, alps_report *r)
{
    alps_superblock real, spare, want;
    alps_handle there = *h;
    memcpy(&real, h->map.base, sizeof real);
    memcpy(&spare, h->map.base + ALPS_SPARE, sizeof spare);
    there.super = &real;
    if (alps_super_check_(&there))
        alps_check_say_(r, 0, "the superblock is damaged");
    else if (real.size >> 16 > h->map.length && h->spare)
        alps_check_say_(r, h->map.length, "the medium is shorter");
    alps_super_spare_(h->super, &want);
    if (memcmp(&spare, &want, ALPS_SUPER_FIXED_) &&
        (spare.magic || spare.crc || spare.layout || spare.limit))
        alps_check_say_(r, ALPS_SPARE, "the spare of the superblock differs");
    const uint64_t *bare = (const uint64_t *)alps_address_(h, ALPS_BARE);
    const uint64_t *loose = (const uint64_t *)alps_address_(h, ALPS_LOOSE);
    if (alps_load_(bare) > 1)
        alps_check_say_(r, ALPS_BARE, "neither a copy nor none");
    if (alps_load_(loose) && (h->spare || alps_load_(loose) != 1))
        alps_check_say_(r, ALPS_LOOSE, "the newest bytes were not written");
    if (h->spare && h->map.journal ? h->map.journal->lost
                                   : h->spare && h->spare->journal)
        alps_check_say_(r, ALPS_HOME_MARK_, "the journal is not there");
}

/* What the files say of themselves that the region goes on in. */
ALPS_FN_ void alps_audit_parts_(const alps_handle *h, alps_report *r)
{
    const alps_parts *p = h->map.parts;
    alps_part_head head;
    alps_onward on;
    for (unsigned i = 1; p && i < p->n; i++) {
        const alps_piece *before = &p->piece[i - 1];
        int is =
            alps_fd_read_(before->fd, &on, sizeof on, alps_parts_place_(i - 1));
        int leads = !is && alps_onward_leads_(h->crc, &on) == 1;
        if (leads)
            is = alps_part_judge_(h->crc, p->piece[i].fd, &on, &head);
        if (is < 0)
            alps_check_say_(r, p->piece[i].from, "a part cannot be read");
        else if (!leads || is != ALPS_PART_HERE)
            alps_check_say_(r, p->piece[i].from, "a part is not what it was");
    }
}

/* Pledges and ties, but those that their makers are at: a pledge is of a live
 * object, which no other one has; what else it says may be of an older one, see
 * docs/spaces.md. What a tie says can be. */
ALPS_FN_ void alps_audit_pledges_(const alps_handle *h, alps_report *r)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *p = alps_pledge_at_(h, i);
        alps_off where = alps_offset_(h, p);
        uint64_t owner = __atomic_load_n(&p->owner, __ATOMIC_ACQUIRE);
        alps_off off = alps_load_(&p->block);
        uint64_t tied = alps_load_(&p->tied);
        if (tied > ALPS_TIE_CUT || (off && tied))
            alps_check_say_(r, where, "a tie of no kind");
        if (alps_self_(h) && owner && alps_process_in_(h, owner))
            continue;
        if (tied && tied <= ALPS_TIE_CUT && !off && !alps_pledge_ties_(h, p))
            alps_check_say_(r, where, "a tie whose link can be nowhere");
        if (!off)
            continue;
        if (!alps_pledge_live_(h, off))
            alps_check_say_(r, where, "a pledge of what is not live");
        else if (alps_load_(&p->wide) > 1 || alps_load_(&p->dest) % 8)
            alps_check_say_(r, where, "a pledge whose link can be nowhere");
        else if (alps_pledge_again_(h, i))
            alps_check_say_(r, where, "an object that is pledged twice");
    }
}

/* Whether `off` is in memory that is reserved or held back, or has none. */
ALPS_FN_ int alps_audit_kept_(const alps_handle *h, alps_off off)
{
    alps_around s;
    return alps_around_(h, off, &s) == ALPS_HELD;
}

/* Whether the `n` lines of actions from `off` on are whole, and in chunks. */
ALPS_FN_ int alps_audit_log_(const alps_handle *h, alps_off off, uint64_t n,
                             uint64_t number)
{
    for (; n; n--, off += ALPS_LINE) {
        const alps_record *r = alps_log_look_(h, &off, number);
        unsigned op = r ? r->op & 15u : 0;
        if (op < ALPS_OP_PUBLISH || op > ALPS_OP_SET ||
            !alps_audit_kept_(h, off))
            return 0;
    }
    return 1;
}

/* A lane that nobody is at, because its process is dead: what it was at is to
 * be completed, or undone. */
ALPS_FN_ void alps_audit_dead_(const alps_handle *h, unsigned i, alps_report *r)
{
    const alps_lane *lane = &h->lanes[i];
    alps_off off = lane->mark.block;
    for (unsigned k = 0; k < ALPS_RING; k++) {
        const alps_record *c = &lane->ring[k];
        if ((c->op & 15) == ALPS_OP_COMMIT && alps_record_live_(h, i, c) &&
            !alps_audit_log_(h, c->block, c->units, c->value))
            alps_check_say_(r, alps_offset_(h, c),
                            "the log of a transaction is not whole");
    }
    if (alps_undo_live_(h, i) && !alps_commit_is_(h, i, lane->mark.seq) &&
        (!alps_audit_kept_(h, off) ||
         !alps_undo_look_(h, &off, lane->mark.seq)))
        alps_check_say_(r, alps_offset_(h, &lane->mark),
                        "there are no bytes to put back");
}

/* What a word of a lane names, as far as anybody can tell: 1 if it can be. */
ALPS_FN_ int alps_audit_named_(const alps_handle *h, const uint64_t *word)
{
    alps_off off = alps_load_(word);
    for (unsigned looks = 0; off && looks < 2; looks++) {
        if (off >= h->at.heap && off < alps_size_(h) && off % 16 == 0)
            return 1;
        off = alps_load_(word);
    }
    return !off;
}

/* The words of any lane. */
ALPS_FN_ void alps_audit_words_(const alps_handle *h, unsigned i,
                                alps_report *r)
{
    const alps_lane *lane = &h->lanes[i];
    alps_off where = alps_offset_(h, lane);
    uint64_t freeing = alps_load_(&lane->freeing);
    if (!alps_audit_named_(h, &lane->held) ||
        !alps_audit_named_(h, &lane->pending))
        alps_check_say_(r, where, "a lane holds what is no memory");
    if (freeing && (freeing & ((1u << ALPS_NUMBER_SHIFT_) - 1)) != i)
        alps_check_say_(r, where, "a lane frees for another's transaction");
    alps_off limbo = alps_load_(&lane->limbo);
    if (limbo && !alps_limbo_chunk_(h, limbo) &&
        alps_load_(&lane->limbo) == limbo)
        alps_check_say_(r, where, "a lane retires into what is no chunk");
}

/* An idle lane has nothing that waits to be redone. */
ALPS_FN_ void alps_audit_lane_(const alps_handle *h, unsigned i, alps_report *r)
{
    const alps_lane *lane = &h->lanes[i];
    uint64_t done = h->done[i].seq;
    done = h->done[i].tx > done ? h->done[i].tx : done;
    if (done > h->shared->seq && done > lane->seq)
        alps_check_say_(r, h->at.done + i * sizeof(alps_done),
                        "a lane has retired what never was");
    if (done >> ALPS_RETIRED_MAX_)
        alps_check_say_(r, h->at.done + i * sizeof(alps_done),
                        "a lane has retired more than it can");
    if (lane->held || lane->freeing)
        alps_check_say_(r, alps_offset_(h, lane), "an idle lane holds a block");
    if (alps_undo_live_(h, i))
        alps_check_say_(r, alps_offset_(h, &lane->mark),
                        "an idle lane has something to undo");
    for (unsigned k = 0; k < ALPS_RING; k++)
        if (alps_record_live_(h, i, &lane->ring[k]))
            alps_check_say_(r, alps_offset_(h, &lane->ring[k]),
                            "an idle lane has a live record");
}

/* All lanes. */
ALPS_CORE_ void alps_audit_lanes_(alps_handle *h, alps_report *r,
                                  const alps_tables *t)
{
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        uint64_t owner = alps_load_(&h->lanes[i].lock);
        alps_audit_words_(h, i, r);
        if (owner && owner != alps_self_(h) && !alps_owner_lives_(h, owner, t))
            alps_audit_dead_(h, i, r);
        if (!alps_lock_try_(&h->lanes[i].lock, alps_self_(h)))
            continue;
        alps_audit_lane_(h, i, r);
        alps_lane_leave_(&h->lanes[i]);
    }
}

/* What waits for readers: a list of chunks, none of which is overfull. Under
 * the lock of the region. */
ALPS_FN_ void alps_audit_limbo_(const alps_handle *h, alps_report *r)
{
    alps_off off = h->shared->limbo, last = 0;
    uint64_t most = alps_size_(h) / sizeof(alps_chunk);
    for (; off && most; most--) {
        const alps_chunk *c = alps_limbo_chunk_(h, off);
        if (!c || c->count > ALPS_CHUNK) {
            alps_check_say_(r, off, "what waits for readers is no chunk");
            return;
        }
        last = off;
        off = c->next;
    }
    if (off || last != h->shared->limbo_last)
        alps_check_say_(r, last, "the list of what waits has another end");
}

/* One log of the transaction under way: its chunks are this process's, one
 * behind the other, and the next line goes into the last one. */
ALPS_FN_ void alps_audit_chunks_(const alps_handle *h, const alps_log *log,
                                 alps_report *r)
{
    alps_off chunk = log->chunk, first = chunk;
    uint64_t most = alps_size_(h) / ALPS_LINE;
    if (!log->first)
        return;
    for (; chunk && most; most--) {
        alps_around s;
        if (alps_around_(h, chunk, &s) != ALPS_HELD || s.off != chunk) {
            alps_check_say_(r, chunk, "a chunk of a log is not reserved");
            return;
        }
        first = chunk;
        chunk = *(const alps_off *)alps_address_(h, chunk);
    }
    if (chunk || log->first != first + ALPS_LINE || log->at <= log->chunk ||
        log->at > log->end || log->end - log->chunk > log->bytes)
        alps_check_say_(r, log->chunk, "the chunks of a log are not in a row");
}

/* The transaction that this thread has open. */
ALPS_FN_ void alps_audit_draft_(const alps_handle *h, alps_report *r)
{
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        const alps_draft *o = &h->drafts[i];
        if (!alps_draft_is_(o, ALPS_THREAD_()))
            continue;
        alps_audit_chunks_(h, &o->log, r);
        alps_audit_chunks_(h, &o->undo, r);
        if (o->marked && !alps_undo_live_(h, i))
            alps_check_say_(r, alps_offset_(h, &o->lane->mark),
                            "a transaction has lost its mark");
    }
}

/* All of the index. Under all locks. */
ALPS_CORE_ void alps_audit_index_(alps_handle *h, alps_report *r,
                                  const alps_tables *t)
{
    uint64_t n = 0;
    for (alps_shard *s = h->shards; s <= h->top; s++) {
        alps_zone any = alps_zone_top_(h);
        any.index = &s->index;
        if (s != h->top)
            any.shift = ALPS_GRANULE_SHIFT;
        n += alps_check_index_(h, &any, r->indexed, r);
        alps_check_held_(h, s, r);
    }
    if (n != r->indexed)
        alps_check_say_(r, h->at.shards, "the bins hold more or fewer runs");
    alps_audit_lanes_(h, r, t);
    alps_audit_limbo_(h, r);
    alps_audit_draft_(h, r);
}

/* See alps_check. */
ALPS_CORE_ int alps_audit_(alps_handle *h, alps_report *r, const alps_tables *t)
{
    int live = alps_self_(h) != 0;
    memset(r, 0, sizeof *r);
    if (!alps_opened_(h))
        return ALPS_EINVAL;
    if (live) {
        alps_names_lock_(h, t);
        alps_lock_all_(h, t);
    }
    alps_audit_super_(h, r);
    alps_audit_parts_(h, r);
    alps_check_extents_(h, r);
    alps_check_names_(h, r);
    alps_audit_pledges_(h, r);
    if (live) {
        alps_audit_index_(h, r, t);
        alps_unlock_all_(h);
        alps_names_unlock_(h);
    }
    return r->problems ? ALPS_ECORRUPT : ALPS_OK;
}
