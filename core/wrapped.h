/* wrapped.h -- the handle of this instance as a class of C++
 *
 * In C++11 and later only. What it does is in made.h; here is the table through
 * which it is done. Both units that have an instance of this name have one of
 * their own: what is not static is inlined always. */
#ifdef __cplusplus
extern "C++" {

ALPS_ONCE_ void *ALPS_(lend_)(alps_handle *h, size_t align, size_t n)
{
    return alps_small_alloc_(h, align, n, 0, &ALPS_(tables_));
}

ALPS_ONCE_ int ALPS_(back_)(alps_handle *h, void *p)
{
    return alps_small_free_(h, p, &ALPS_(tables_));
}

/* Lets containers that lie in the region find this process's handle: an
 * allocator that is made of the handle does it. ALPS_EUNSUPPORTED: a backend of
 * the program's own that holds no page in front of the region. */
static inline __attribute__((unused)) int alps_introduce_(ALPS_(heap) * h)
{
    return alps::door_open_(&h->core, ALPS_(lend_), ALPS_(back_));
}

ALPS_ONCE_ int ALPS_(open_)(alps_handle *h, const char *path,
                            const alps_options *o)
{
    return ALPS_(open)((ALPS_(heap) *)(void *)h, path, o);
}

ALPS_ONCE_ int ALPS_(close_)(alps_handle *h)
{
    return ALPS_(close)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(discard_)(alps_handle *h)
{
    return ALPS_(discard)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(sync_)(alps_handle *h)
{
    return ALPS_(sync)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(enter_)(alps_handle *h)
{
    return ALPS_(enter)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(leave_)(alps_handle *h)
{
    return ALPS_(leave)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ void *ALPS_(make_)(alps_handle *h, const alps_naming *as, int old,
                              const alps_maker *m)
{
    return ALPS_(construct_with)((ALPS_(heap) *)(void *)h, *as, old, m);
}

ALPS_ONCE_ void *ALPS_(find_)(alps_handle *h, const alps_naming *as, size_t *n)
{
    return ALPS_(find_as)((ALPS_(heap) *)(void *)h, *as, n);
}

ALPS_ONCE_ int ALPS_(destroy_)(alps_handle *h, const alps_naming *as,
                               alps_off *entry)
{
    return alps_named_destroy_(h, as, entry, &ALPS_(tables_));
}

ALPS_ONCE_ int ALPS_(introduce_)(alps_handle *h)
{
    return alps_introduce_((ALPS_(heap) *)(void *)h);
}

static const alps::table_ ALPS_(table_) __attribute__((unused)) = {
    ALPS_(open_),    ALPS_(close_),     ALPS_(discard_), ALPS_(sync_),
    ALPS_(enter_),   ALPS_(leave_),     ALPS_(make_),    ALPS_(find_),
    ALPS_(destroy_), ALPS_(introduce_),
};

/* A region that is closed when this goes: see alps::region in made.h. */
class ALPS_(region) : public alps::region
{
    ALPS_(heap) heap_;

  public:
    __attribute__((always_inline)) inline ALPS_(region)()
        : alps::region(&ALPS_(table_), &heap_.core)
    {
    }
    /* The handle, for the functions of C. */
    ALPS_(heap) * heap() noexcept
    {
        return &heap_;
    }
};
}
#endif
