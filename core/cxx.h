/* cxx.h -- what C++ adds: fancy pointers, an allocator, objects by name
 *
 * In C++11 and later only. Nothing here depends on an instance: what does is
 * reached through the table of a region, or through its door, so that a unit
 * with several instances has each class once. See docs/cxx.md. */
#pragma once
#include "closed.h"

#ifdef __cplusplus
#  include <cstddef>
#  include <exception>
#  include <iterator>
#  include <new>
#  include <type_traits>
#  include <utility>
#  if defined(__GXX_RTTI) || defined(__cpp_rtti)
#    define ALPS_RTTI_
#    include <typeinfo>
#  endif
#  if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#    define ALPS_THROW_(what) throw what
#  else
#    define ALPS_THROW_(what) __builtin_trap()
#  endif

extern "C++" {
namespace alps
{

/* ---- pointers */

/* A pointer that is the distance from itself, in the bytes of ALPS_REL(T): it
 * stays right when what it is in and what it names are mapped elsewhere
 * together. A fancy pointer of the standard (NullablePointer, random access
 * iterator, std::pointer_traits); null when zeroed; copied by its constructor
 * and not by memcpy. */
template <class T>
class ptr
{
    int64_t rel_;

    struct none_; /* stands for what void has no reference to */
    typedef typename std::conditional<std::is_void<T>::value, none_, T>::type
        object_;

    /* Whether static_cast leads from U* to T*. */
    template <class U, class = decltype(static_cast<T *>((U *)0))>
    static std::true_type casts_(int);
    template <class U>
    static std::false_type casts_(...);

    template <class U>
    struct implicit_ : std::is_convertible<U *, T *> {
    };
    template <class U>
    struct explicit_
        : std::integral_constant<bool, !implicit_<U>::value &&
                                           decltype(casts_<U>(0))::value> {
    };

  public:
    typedef T element_type;
    typedef std::ptrdiff_t difference_type;
    typedef typename std::remove_cv<T>::type value_type;
    typedef ptr pointer;
    typedef object_ &reference;
    typedef std::random_access_iterator_tag iterator_category;
#  if __cplusplus >= 202002L
    typedef std::contiguous_iterator_tag iterator_concept;
#  endif

    ptr() noexcept : rel_(0)
    {
    }
    template <class N,
              typename std::enable_if<std::is_same<N, std::nullptr_t>::value,
                                      int>::type = 0>
    ptr(N) noexcept : rel_(0) // a 0 is of T *, so that it means one thing
    {
    }
    ptr(T *p) noexcept
    {
        alps_rel_set_(&rel_, p);
    }
    ptr(const ptr &other) noexcept
    {
        alps_rel_set_(&rel_, other.get());
    }
    template <class U,
              typename std::enable_if<implicit_<U>::value, int>::type = 0>
    ptr(const ptr<U> &other) noexcept
    {
        alps_rel_set_(&rel_, static_cast<T *>(other.get()));
    }
    template <class U,
              typename std::enable_if<explicit_<U>::value, int>::type = 0>
    explicit ptr(const ptr<U> &other) noexcept
    {
        alps_rel_set_(&rel_, static_cast<T *>(other.get()));
    }
    ptr &operator=(const ptr &other) noexcept
    {
        alps_rel_set_(&rel_, other.get());
        return *this;
    }

    /* The address, which is right as long as the region is open. */
    T *get() const noexcept
    {
        return static_cast<T *>(alps_rel_get_(&rel_));
    }
    explicit operator bool() const noexcept
    {
        return rel_ != 0;
    }
    T *operator->() const noexcept
    {
        return get();
    }
    reference operator*() const noexcept
    {
        return *get();
    }
    reference operator[](difference_type n) const noexcept
    {
        return get()[n];
    }
    static ptr pointer_to(object_ &object) noexcept
    {
        return ptr(__builtin_addressof(object));
    }

    ptr &operator+=(difference_type n) noexcept
    {
        alps_rel_set_(&rel_, get() + n);
        return *this;
    }
    ptr &operator-=(difference_type n) noexcept
    {
        alps_rel_set_(&rel_, get() - n);
        return *this;
    }
    ptr &operator++() noexcept
    {
        return *this += 1;
    }
    ptr &operator--() noexcept
    {
        return *this -= 1;
    }
    ptr operator++(int) noexcept
    {
        T *old = get();
        *this += 1;
        return ptr(old);
    }
    ptr operator--(int) noexcept
    {
        T *old = get();
        *this -= 1;
        return ptr(old);
    }
    ptr operator+(difference_type n) const noexcept
    {
        return ptr(get() + n);
    }
    ptr operator-(difference_type n) const noexcept
    {
        return ptr(get() - n);
    }
    friend ptr operator+(difference_type n, const ptr &p) noexcept
    {
        return ptr(p.get() + n);
    }
    friend difference_type operator-(const ptr &a, const ptr &b) noexcept
    {
        return a.get() - b.get();
    }

    friend bool operator==(const ptr &a, const ptr &b) noexcept
    {
        return a.get() == b.get();
    }
    friend bool operator!=(const ptr &a, const ptr &b) noexcept
    {
        return a.get() != b.get();
    }
    friend bool operator<(const ptr &a, const ptr &b) noexcept
    {
        return a.get() < b.get();
    }
    friend bool operator>(const ptr &a, const ptr &b) noexcept
    {
        return b < a;
    }
    friend bool operator<=(const ptr &a, const ptr &b) noexcept
    {
        return !(b < a);
    }
    friend bool operator>=(const ptr &a, const ptr &b) noexcept
    {
        return !(a < b);
    }
    friend void swap(ptr &a, ptr &b) noexcept
    {
        T *p = a.get();
        a = b;
        b = ptr(p);
    }
};

/* ---- the allocator */

/* What lies in front of the region's first byte, in memory of the process: how
 * one who has but an address in the region comes to this process's handle. */
struct door_ {
    alps_handle *handle;
    void *(*alloc)(alps_handle *h, size_t align, size_t n);
    int (*free)(alps_handle *h, void *p);
};

/* Opens the door: what is in it may be written, and is. */
ALPS_COLD_ int door_open_(alps_handle *h,
                          void *(*alloc)(alps_handle *, size_t, size_t),
                          int (*free)(alps_handle *, void *))
{
    uint64_t page = alps_system_page_();
    if (!h->map.base)
        return ALPS_EINVAL;
    if (!h->map.door)
        return ALPS_EUNSUPPORTED;
    if (mprotect(h->map.base - page, (size_t)page, PROT_READ | PROT_WRITE))
        return alps_oserror_();
    door_ *d = reinterpret_cast<door_ *>(h->map.base) - 1;
    __atomic_store_n(&d->alloc, alloc, __ATOMIC_RELAXED);
    __atomic_store_n(&d->free, free, __ATOMIC_RELAXED);
    __atomic_store_n(&d->handle, h, __ATOMIC_RELEASE);
    return ALPS_OK;
}

class region;

/* Allocates in one region, for containers: it is 8 bytes, and may lie in the
 * region itself as part of a container, whatever process has it open at
 * whatever address. Two are equal if they are of the same region as this
 * process has it mapped. */
template <class T>
class allocator
{
    ptr<unsigned char> base_;
    template <class U>
    friend class allocator;
    friend class region;

    explicit allocator(unsigned char *base) noexcept : base_(base)
    {
    }
    door_ *door() const noexcept
    {
        return reinterpret_cast<door_ *>(base_.get()) - 1;
    }

  public:
    typedef T value_type;
    typedef ptr<T> pointer;
    typedef ptr<const T> const_pointer;
    typedef ptr<void> void_pointer;
    typedef ptr<const void> const_void_pointer;
    typedef std::size_t size_type;
    typedef std::ptrdiff_t difference_type;
    typedef std::false_type is_always_equal;
    template <class U>
    struct rebind {
        typedef allocator<U> other;
    };

    /* Of the region that is open as `h`, an alps_heap of any instance. Of a
     * backend of the program's own that holds no page in front of the region
     * (docs/writing-a-backend.md), it is one that has nothing to give. */
    template <class H, class = decltype(&((H *)0)->core.map)>
    allocator(H *h) noexcept
    {
        if (alps_introduce_(h) == ALPS_OK)
            base_ = h->core.map.base;
    }
    template <class U>
    allocator(const allocator<U> &other) noexcept : base_(other.base_)
    {
    }
    allocator(const allocator &other) noexcept : base_(other.base_)
    {
    }
    allocator &operator=(const allocator &other) noexcept
    {
        base_ = other.base_;
        return *this;
    }

    size_type max_size() const noexcept
    {
        return static_cast<size_type>(PTRDIFF_MAX) / sizeof(T);
    }

    /* As alps_alloc_aligned; std::bad_alloc where there is nothing to be had,
     * and alps_error has the code. Without exceptions: a trap. */
    pointer allocate(size_type n)
    {
        void *p = NULL;
        if (base_ && n <= max_size())
            p = door()->alloc(door()->handle, alignof(T), n * sizeof(T));
        if (!p)
            ALPS_THROW_(std::bad_alloc());
        return pointer(static_cast<T *>(p));
    }
    void deallocate(const pointer &p, size_type) noexcept
    {
        int err = door()->free(door()->handle, p.get());
        ALPS_ASSERT(!err);
        (void)err;
    }

    /* Whether both are of one region. */
    template <class U>
    bool shares(const allocator<U> &other) const noexcept
    {
        return base_ == other.base_;
    }
};

template <class T, class U>
bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.shares(b);
}
template <class T, class U>
bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return !a.shares(b);
}

} // namespace alps
}
#endif
