/* test_ptr.c -- pointers that survive a new address
 *
 * Null is 0, zeroed memory is null, a pointer means the same wherever it was
 * copied to and wherever its region is mapped. */
#include "model.h"

struct node;
typedef ALPS_PTR(struct node) node_ptr;
struct node {
    node_ptr next;
    ALPS_PTR(char) text;
    ALPS_REL(struct node) other;
    int number;
};

static any_heap heap;
static alps_options o;

static void begin(void)
{
    choose(&alps_backend_shmem_, &alps_policy_none_);
    o = small(1u << 20, 16384);
    CHECK_EQ(any_open(&heap, shm_name("ptr"), &o), 0);
}

static void end(void)
{
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(shm_name("ptr")), 0);
}

static struct node *new_node(int number)
{
    struct node *n = (struct node *)any_zalloc(&heap, sizeof *n);
    CHECK(n != NULL);
    n->number = number;
    return n;
}

static void sizes_are_eight_bytes(void)
{
    ALPS_PTR(struct node) one;
    ALPS_REL(struct node) two;
    CHECK_EQ(sizeof one, 8);
    CHECK_EQ(sizeof two, 8);
    CHECK_EQ(sizeof(node_ptr), 8);
    CHECK_EQ(ALPS_NULL, 0);
}

static void zeroed_memory_is_null(void)
{
    begin();
    struct node *n = new_node(1);
    CHECK(ALPS_GET(&heap, n->next) == NULL);
    CHECK(ALPS_GET(&heap, n->text) == NULL);
    CHECK(ALPS_REL_GET(n->other) == NULL);
    node_ptr *root = (node_ptr *)any_root(&heap, 8);
    CHECK(root->off == ALPS_NULL && ALPS_GET(&heap, *root) == NULL);
    node_ptr here;
    memset(&here, 0, sizeof here);
    CHECK(ALPS_GET(&heap, here) == NULL);
    CHECK(any_at(&heap, ALPS_NULL) == NULL);
    CHECK_EQ(any_off_of(&heap, NULL), ALPS_NULL);
    end();
}

static void null_is_stored_as_zero(void)
{
    begin();
    struct node *n = new_node(1);
    ALPS_SET(&heap, n->next, n);
    ALPS_REL_SET(n->other, n);
    CHECK(n->next.off != 0 && n->other.rel != 0);
    ALPS_SET(&heap, n->next, NULL);
    ALPS_REL_SET(n->other, NULL);
    CHECK(n->next.off == 0 && n->other.rel == 0);
    end();
}

static void what_is_set_is_got(void)
{
    begin();
    struct node *a = new_node(1), *b = new_node(2);
    char *text = (char *)any_alloc(&heap, 20);
    ALPS_SET(&heap, a->next, b);
    ALPS_SET(&heap, b->next, a);
    ALPS_SET(&heap, a->text, text);
    CHECK(ALPS_GET(&heap, a->next) == b);
    CHECK(ALPS_GET(&heap, b->next)->number == 1);
    CHECK(ALPS_GET(&heap, a->text) == text);
    ALPS_SET(&heap, a->text, text + 7); // also into the midst of an object
    CHECK(ALPS_GET(&heap, a->text) == text + 7);
    CHECK_EQ(a->next.off, any_off_of(&heap, b));
    CHECK(any_at(&heap, a->next.off) == b);
    const node_ptr *fixed = &a->next;
    CHECK(ALPS_GET(&heap, *fixed) == b);
    end();
}

/* ALPS's pointers looked at their own address, and decoded nonsense here. */
static void a_pointer_may_leave_its_region(void)
{
    node_ptr on_stack, *in_memory = (node_ptr *)malloc(sizeof *in_memory);
    unsigned char bytes[3 + sizeof(node_ptr)];
    begin();
    struct node *a = new_node(1), *b = new_node(2);
    ALPS_SET(&heap, a->next, b);
    memcpy(&on_stack, &a->next, sizeof on_stack);
    *in_memory = a->next;
    memcpy(bytes + 3, &a->next, sizeof a->next);
    memset(&a->next, 0, sizeof a->next);
    CHECK(ALPS_GET(&heap, on_stack) == b);
    CHECK(ALPS_GET(&heap, *in_memory) == b);
    memcpy(&a->next, bytes + 3, sizeof a->next);
    CHECK(ALPS_GET(&heap, a->next) == b);
    free(in_memory);
    end();
}

static void a_pointer_means_the_same_at_another_address(void)
{
    any_heap other;
    begin();
    struct node *a = new_node(1), *b = new_node(2);
    alps_off *root = (alps_off *)any_root(&heap, 8);
    ALPS_SET(&heap, a->next, b);
    ALPS_REL_SET(a->other, b);
    ALPS_REL_SET(b->other, b);
    *root = any_off_of(&heap, a);
    CHECK_EQ(any_open(&other, shm_name("ptr"), &o), 0);
    CHECK(other.core.map.base != heap.core.map.base);
    struct node *there = (struct node *)any_at(&other, *root);
    CHECK(there != a && there->number == 1);
    struct node *next = ALPS_GET(&other, there->next);
    CHECK(next != b && next->number == 2);
    CHECK(ALPS_REL_GET(there->other) == next); // needs no handle
    CHECK(ALPS_REL_GET(next->other) == next);
    next->number = 3;
    CHECK_EQ(b->number, 3);
    CHECK_EQ(any_close(&other), 0);
    CHECK_EQ(any_close(&heap), 0);

    void *fence = mmap(NULL, 1u << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0); // so that it lies elsewhere
    CHECK_EQ(any_open(&heap, shm_name("ptr"), &o), 0);
    a = (struct node *)any_at(&heap, *(alps_off *)any_root(&heap, 8));
    CHECK(ALPS_GET(&heap, a->next)->number == 3);
    CHECK(ALPS_REL_GET(a->other) == ALPS_GET(&heap, a->next));
    munmap(fence, 1u << 20);
    end();
}

static void two_regions_are_kept_apart(void)
{
    any_heap other;
    begin();
    CHECK_EQ(any_open(&other, shm_name("ptr-2"), &o), 0);
    struct node *a = new_node(1);
    struct node *b = (struct node *)any_zalloc(&other, sizeof *b);
    b->number = 2;
    CHECK_EQ(any_off_of(&heap, a), any_off_of(&other, b)); // as it happens
    node_ptr p = {any_off_of(&heap, a)};
    CHECK(ALPS_GET(&heap, p) == a && ALPS_GET(&other, p) == b);
    CHECK_EQ(any_free(&other, a), ALPS_EINVALID_FREE);
    CHECK_EQ(any_free(&heap, b), ALPS_EINVALID_FREE);
    CHECK_EQ(any_usable(&heap, b), 0);
    CHECK(sound(&heap) && sound(&other));
    CHECK_EQ(any_close(&other), 0);
    CHECK_EQ(any_remove(shm_name("ptr-2")), 0);
    end();
}

static void a_relative_pointer_reaches_itself_and_both_ways(void)
{
    begin();
    struct node *n[3];
    for (int i = 0; i < 3; i++)
        n[i] = new_node(i);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            ALPS_REL_SET(n[i]->other, n[k]);
            CHECK(ALPS_REL_GET(n[i]->other) == n[k]);
            CHECK(n[i]->other.rel != 0);
        }
    typedef ALPS_REL(void) any_rel;
    any_rel *self = (any_rel *)any_zalloc(&heap, sizeof *self);
    CHECK(ALPS_REL_GET(*self) == NULL);
    ALPS_REL_SET(*self, self); // the distance is 0, and yet it is not null
    CHECK(ALPS_REL_GET(*self) == self);
    CHECK_EQ(self->rel, INT64_MIN);
    ALPS_REL_SET(*self, NULL);
    CHECK(ALPS_REL_GET(*self) == NULL);
    end();
}

/* Also to a byte of itself, or beside it: none of them is null. */
static void every_distance_is_what_it_says(void)
{
    typedef ALPS_REL(unsigned char) byte_rel;
    struct {
        unsigned char before[20];
        byte_rel p;
        unsigned char after[20];
    } s;
    unsigned char *first = (unsigned char *)&s;
    for (unsigned char *to = first; to < first + sizeof s; to++) {
        ALPS_REL_SET(s.p, to);
        CHECK(s.p.rel != 0 && ALPS_REL_GET(s.p) == to);
        byte_rel copy; // as it is copied: not by its bytes
        ALPS_REL_SET(copy, ALPS_REL_GET(s.p));
        CHECK(ALPS_REL_GET(copy) == to);
    }
}

static void copy_assigns_between_types_of_their_own(void)
{
    ALPS_PTR(struct node) one;
    ALPS_PTR(struct node) two;
    begin();
    struct node *a = new_node(1);
    ALPS_SET(&heap, one, a);
    ALPS_COPY(two, one);
    CHECK(ALPS_GET(&heap, two) == a);
    ALPS_COPY(a->next, two);
    CHECK(ALPS_GET(&heap, a->next) == a);
    end();
}

/* An offset that was read from a region is input. */
static void what_cannot_be_an_offset_is_null(void)
{
    begin();
    uint64_t size = alps_size_(&heap.core);
    static const uint64_t wild[] = {1ull << 47, 1ull << 63, ~0ull,
                                    ~0ull - 4095};
    CHECK(any_at(&heap, size - 1) == heap.core.map.base + size - 1);
    CHECK(any_at(&heap, 1) == heap.core.map.base + 1);
    CHECK(any_at(&heap, size) == NULL);
    for (unsigned i = 0; i < 4; i++) {
        node_ptr p = {wild[i]};
        CHECK(any_at(&heap, wild[i]) == NULL);
        CHECK(ALPS_GET(&heap, p) == NULL);
    }
    end();
}

int main(void)
{
    RUN(sizes_are_eight_bytes);
    RUN(zeroed_memory_is_null);
    RUN(null_is_stored_as_zero);
    RUN(what_is_set_is_got);
    RUN(a_pointer_may_leave_its_region);
    RUN(a_pointer_means_the_same_at_another_address);
    RUN(two_regions_are_kept_apart);
    RUN(a_relative_pointer_reaches_itself_and_both_ways);
    RUN(every_distance_is_what_it_says);
    RUN(copy_assigns_between_types_of_their_own);
    RUN(what_cannot_be_an_offset_is_null);
    return check_end("ptr");
}
