/* made.h -- objects of C++ by their names, and the handle that closes itself
 *
 * As alps_construct and its like, with constructors and destructors. A region
 * is a class of no instance; each instance derives its own, which brings the
 * table of its functions. See docs/cxx.md. */
#pragma once
#include "cxx.h"

#ifdef __cplusplus
extern "C++" {
namespace alps
{

/* The number that is stored with an object to tell its type: of the name that
 * the compiler has for it, which is the same with gcc and clang, and another
 * for another standard library's class. ALPS_TAG(struct point), outside of all
 * namespaces, makes it that of ALPS_NAMING(struct point, ...) in C. */
template <class T>
struct tag {
#  ifdef ALPS_RTTI_
    static uint64_t of() noexcept
    {
        return alps_hash_tag_(typeid(T).name());
    }
#  else
    static uint64_t of() noexcept
    {
        static_assert(!sizeof(T *),
                      "alps.h: without RTTI a type needs ALPS_TAG(type)");
        return 0;
    }
#  endif
};
#  define ALPS_TAG(T)               \
    namespace alps                  \
    {                               \
    template <>                     \
    struct tag<T> {                 \
      static uint64_t of() noexcept \
      {                             \
        return alps_hash_tag_(#T);  \
      }                             \
    };                              \
    }

/* In place of a name: the only object of its type. */
enum unique_name { unique };

/* What an object is called: a C string, any bytes, or a class that has data()
 * and size(), which is to outlive this. */
class name
{
    const void *bytes_;
    std::size_t length_;

  public:
    name(const char *text) noexcept : bytes_(text), length_(strlen(text))
    {
    }
    name(const void *bytes, std::size_t n) noexcept : bytes_(bytes), length_(n)
    {
    }
    name(unique_name) noexcept : bytes_(NULL), length_(0)
    {
    }
    template <class S, class = decltype(std::declval<const S &>().data()),
              class = decltype(std::declval<const S &>().size())>
    name(const S &s) noexcept : bytes_(s.data()), length_(s.size())
    {
    }

    template <class T>
    alps_naming as(std::size_t count) const noexcept
    {
        alps_naming n = alps_name_typed_(NULL, tag<T>::of(), sizeof(T), count);
        n.name = bytes_;
        n.length = length_;
        return n;
    }
};

/* The functions of an instance, for those who do not know which it is. */
struct table_ {
    int (*open)(alps_handle *h, const char *path, const alps_options *o);
    int (*close)(alps_handle *h);
    int (*discard)(alps_handle *h);
    int (*sync)(alps_handle *h);
    int (*enter)(alps_handle *h);
    int (*leave)(alps_handle *h);
    void *(*construct)(alps_handle *h, const alps_naming *as, int old,
                       const alps_maker *m);
    void *(*find)(alps_handle *h, const alps_naming *as, size_t *n);
    int (*destroy)(alps_handle *h, const alps_naming *as, alps_off *entry);
    int (*introduce)(alps_handle *h);
};

template <class T>
void end_all_(T *element, std::size_t n) noexcept
{
    while (n--)
        element[n].~T();
}

/* Begins the elements of an object, one after the other; if one throws, ends
 * those that were begun. */
template <class T, class F>
class making_
{
    F &begin_;
    std::exception_ptr thrown_;

    static int make_(void *context, void *p, std::size_t n)
    {
        making_ *m = static_cast<making_ *>(context);
        T *element = static_cast<T *>(p);
        std::size_t i = 0;
#  if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
        try {
            for (; i < n / sizeof(T); i++)
                m->begin_(element + i);
            return ALPS_OK;
        } catch (...) {
            m->thrown_ = std::current_exception();
        }
        end_all_(element, i);
        return ALPS_EINVAL;
#  else
        for (; i < n / sizeof(T); i++)
            m->begin_(element + i);
        return ALPS_OK;
#  endif
    }
    static void unmake_(void *, void *p, std::size_t n)
    {
        end_all_(static_cast<T *>(p), n / sizeof(T));
    }

  public:
    explicit making_(F &begin) : begin_(begin)
    {
    }
    T *construct(const table_ *t, alps_handle *h, const alps_naming &as,
                 int old)
    {
        alps_maker m = {make_, unmake_, this};
        void *p = t->construct(h, &as, old, &m);
#  if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
        if (thrown_)
            std::rethrow_exception(thrown_);
#  endif
        return static_cast<T *>(p);
    }
};

/* An object that is to be made, or several. */
template <class T>
class construction_
{
    const table_ *table_of_;
    alps_handle *handle_;
    name name_;
    int old_;

  public:
    construction_(const table_ *t, alps_handle *h, const name &n, int old)
        : table_of_(t), handle_(h), name_(n), old_(old)
    {
        static_assert(
            alignof(T) <= 16 || (alignof(T) <= 64 && sizeof(T) >= 1024),
            "alps.h: a named object is aligned to 16 bytes, and to 64 from "
            "1 KiB on");
    }
    template <class F>
    T *with(F begin, std::size_t count) const
    {
        making_<T, F> m(begin);
        return m.construct(table_of_, handle_, name_.as<T>(count), old_);
    }
};

/* What `construct<T>(name)[n]` answers: call it with what each constructor is
 * to have. */
template <class T>
class constructions
{
    construction_<T> one_;
    std::size_t count_;

  public:
    constructions(const construction_<T> &one, std::size_t count)
        : one_(one), count_(count)
    {
    }
    template <class... Args>
    T *operator()(const Args &...args) const
    {
        return one_.with(
            [&](T *p) { ::new (static_cast<void *>(p)) T(args...); }, count_);
    }
};

/* What `construct<T>(name)` answers: call it with what the constructor is to
 * have. */
template <class T>
class construction
{
    construction_<T> one_;

  public:
    explicit construction(const construction_<T> &one) : one_(one)
    {
    }
    constructions<T> operator[](std::size_t count) const
    {
        return constructions<T>(one_, count);
    }
    template <class... Args>
    T *operator()(Args &&...args) const
    {
        return one_.with(
            [&](T *p) {
                ::new (static_cast<void *>(p)) T(std::forward<Args>(args)...);
            },
            1);
    }
};

/* A region that is closed when this goes. Each instance has one that can be
 * made: alps_region, ledger_region. Like the handle that it holds it stays
 * where it is. */
class region
{
    const table_ *table_of_;
    alps_handle *handle_;

  protected:
    region(const table_ *t, alps_handle *h) : table_of_(t), handle_(h)
    {
        memset(h, 0, sizeof *h);
    }
    /* Closes it as `close` does; where that fails under policy checkpoint, as
     * `discard`. Who wants to know calls `close` before. */
    ~region()
    {
        if (*this && close())
            (void)discard();
    }

  public:
    region(const region &) = delete;
    region &operator=(const region &) = delete;

    /* As alps_open. ALPS_EBUSY: it is open already. ALPS_EUNSUPPORTED: a
     * backend of the program's own that holds no page in front of the
     * region. */
    int open(const char *path, const alps_options *o = NULL)
    {
        if (*this)
            return ALPS_EBUSY;
        int err = table_of_->open(handle_, path, o);
        if (err)
            return err;
        err = table_of_->introduce(handle_);
        if (err)
            (void)table_of_->discard(handle_);
        return err;
    }
    int close()
    {
        return table_of_->close(handle_);
    }
    int discard()
    {
        return table_of_->discard(handle_);
    }
    int sync()
    {
        return table_of_->sync(handle_);
    }
    explicit operator bool() const noexcept
    {
        return handle_->map.base != NULL;
    }
    /* For containers of T in this region. */
    template <class T>
    allocator<T> get_allocator() const noexcept
    {
        return allocator<T>(handle_->map.base);
    }
    /* The code of what last answered NULL, as alps_error. */
    int error() const noexcept
    {
        return __atomic_load_n(&handle_->error, __ATOMIC_RELAXED);
    }

    /* Makes an object, or several: `construct<T>("name")(1, 2)`,
     * `construct<T>("name")[10](1, 2)`. They are found when their constructors
     * have run, or not at all, whatever crashes; what a constructor allocated
     * besides is lost then. If a constructor throws, there is no object, and
     * this throws the same. NULL and a code in `error`, as
     * alps_construct_with. */
    template <class T>
    construction<T> construct(const name &n)
    {
        return construction<T>(construction_<T>(table_of_, handle_, n, 0));
    }

    /* The same; but what is there already does as well. Of several who call it
     * at once each may run the constructor: one object gets the name, the
     * others are destroyed again. */
    template <class T>
    construction<T> find_or_construct(const name &n)
    {
        return construction<T>(construction_<T>(table_of_, handle_, n, 1));
    }

    /* Finds the object, and how many elements it has. NULL and a code in
     * `error`: ALPS_ENOENT, ALPS_ETYPE, as alps_find_as. */
    template <class T>
    T *find(const name &n, std::size_t *count = NULL)
    {
        std::size_t bytes = 0;
        alps_naming as = n.as<T>(0);
        void *p = table_of_->find(handle_, &as, &bytes);
        if (count)
            *count = bytes / sizeof(T);
        return static_cast<T *>(p);
    }

    /* Takes the name away and frees the memory in one step, and runs the
     * destructors between: a crash may lose what they would have freed, and
     * never leaves a destroyed object under its name. As alps_destroy_as;
     * ALPS_EBUSY as alps_enter. */
    template <class T>
    int destroy(const name &n)
    {
        alps_naming as = n.as<T>(0);
        alps_off off = ALPS_NULL;
        int err = table_of_->enter(handle_);
        if (err)
            return err;
        err = table_of_->destroy(handle_, &as, &off);
        if (!err) {
            std::size_t bytes;
            void *p = alps_name_object_(
                static_cast<const alps_entry *>(alps_address_(handle_, off)),
                &bytes);
            end_all_(static_cast<T *>(p), bytes / sizeof(T));
        }
        int late = table_of_->leave(handle_);
        return err ? err : late;
    }
};

} // namespace alps
}
#endif
