/* select.h -- which backend and which policy this instance has
 *
 * Read anew at each include of alps.h. What the program left open is filled
 * in, what cannot work is refused by name, and the two tables are chosen: as
 * constant addresses, so that the compiler sees through every call. */
#ifndef ALPS_NAME
#  define ALPS_NAME alps
#endif
#ifndef ALPS_BACKEND
#  define ALPS_BACKEND ALPS_FILE
#endif

/* The backend, and the policy that is natural for it. */
#if ALPS_BACKEND == ALPS_ANON
#  define ALPS_BACKEND_TABLE_ &alps_backend_anon_
#  define ALPS_NATURAL_POLICY_ ALPS_NONE
#elif ALPS_BACKEND == ALPS_SHMEM
#  define ALPS_BACKEND_TABLE_ &alps_backend_shmem_
#  define ALPS_NATURAL_POLICY_ ALPS_NONE
#elif ALPS_BACKEND == ALPS_FILE
#  define ALPS_BACKEND_TABLE_ &alps_backend_file_
#  define ALPS_NATURAL_POLICY_ ALPS_CHECKPOINT
#elif ALPS_BACKEND == ALPS_PMEM
#  define ALPS_BACKEND_TABLE_ &alps_backend_pmem_
#  define ALPS_NATURAL_POLICY_ ALPS_FLUSH
#elif ALPS_BACKEND == ALPS_USER && defined(ALPS_USER_BACKEND)
#  define ALPS_BACKEND_TABLE_ &(ALPS_USER_BACKEND)
#  define ALPS_NATURAL_POLICY_ ALPS_NONE
#elif ALPS_BACKEND == ALPS_USER
#  error \
      "alps.h: backend ALPS_USER needs ALPS_USER_BACKEND, the name of your table"
#  define ALPS_REFUSED_
#elif ALPS_BACKEND == ALPS_PAGED
#  define ALPS_BACKEND_TABLE_ &alps_backend_paged_
#  define ALPS_NATURAL_POLICY_ ALPS_CHECKPOINT
#elif ALPS_BACKEND == ALPS_DSM
#  error \
      "alps.h: backend ALPS_DSM is not in this version: ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM, ALPS_PAGED and ALPS_USER are"
#  define ALPS_REFUSED_
#else
#  error \
      "alps.h: ALPS_BACKEND is none of ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM, ALPS_PAGED and ALPS_USER"
#  define ALPS_REFUSED_
#endif

#if !defined(ALPS_POLICY) && !defined(ALPS_REFUSED_)
#  define ALPS_POLICY ALPS_NATURAL_POLICY_
#endif

/* The policy. After a refusal nothing more is looked at: one mistake, one
 * message. */
#ifdef ALPS_REFUSED_
#elif ALPS_POLICY == ALPS_NONE
#  define ALPS_POLICY_TABLE_ &alps_policy_none_
#elif ALPS_POLICY == ALPS_FLUSH
#  define ALPS_POLICY_TABLE_ &alps_policy_flush_
#elif ALPS_POLICY == ALPS_FENCE
#  define ALPS_POLICY_TABLE_ &alps_policy_fence_
#elif ALPS_POLICY == ALPS_MSYNC
#  define ALPS_POLICY_TABLE_ &alps_policy_msync_
#elif ALPS_POLICY == ALPS_USER && defined(ALPS_USER_POLICY)
#  define ALPS_POLICY_TABLE_ &(ALPS_USER_POLICY)
#elif ALPS_POLICY == ALPS_USER
#  error \
      "alps.h: policy ALPS_USER needs ALPS_USER_POLICY, the name of your table"
#  define ALPS_REFUSED_
#elif ALPS_POLICY == ALPS_CHECKPOINT
#  define ALPS_POLICY_TABLE_ &alps_policy_checkpoint_
#else
#  error \
      "alps.h: ALPS_POLICY is none of ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC, ALPS_CHECKPOINT and ALPS_USER"
#  define ALPS_REFUSED_
#endif

/* The pair. A policy of the program's own goes with every backend, a backend
 * of its own with every policy. */
#ifdef ALPS_REFUSED_
#elif ALPS_POLICY == ALPS_USER || ALPS_BACKEND == ALPS_USER
#elif ALPS_BACKEND == ALPS_ANON
#  if ALPS_POLICY != ALPS_NONE
#    error "alps.h: backend ALPS_ANON goes with policy ALPS_NONE"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_SHMEM
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_FLUSH
#    error "alps.h: backend ALPS_SHMEM goes with policy ALPS_NONE or ALPS_FLUSH"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_FILE
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_MSYNC && \
      ALPS_POLICY != ALPS_CHECKPOINT
#    error \
        "alps.h: backend ALPS_FILE goes with policy ALPS_NONE, ALPS_MSYNC or ALPS_CHECKPOINT"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_PMEM
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_FLUSH && \
      ALPS_POLICY != ALPS_FENCE && ALPS_POLICY != ALPS_MSYNC
#    error \
        "alps.h: backend ALPS_PMEM goes with policy ALPS_NONE, ALPS_FLUSH, ALPS_FENCE or ALPS_MSYNC"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_PAGED
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_MSYNC && \
      ALPS_POLICY != ALPS_CHECKPOINT
#    error \
        "alps.h: backend ALPS_PAGED goes with policy ALPS_NONE, ALPS_MSYNC or ALPS_CHECKPOINT"
#    define ALPS_REFUSED_
#  endif
#endif

/* A table that nobody will ask is a choice that was not made. */
#ifdef ALPS_REFUSED_
#elif defined(ALPS_USER_BACKEND) && ALPS_BACKEND != ALPS_USER
#  error "alps.h: ALPS_USER_BACKEND goes with backend ALPS_USER"
#  define ALPS_REFUSED_
#elif defined(ALPS_USER_POLICY) && ALPS_POLICY != ALPS_USER
#  error "alps.h: ALPS_USER_POLICY goes with policy ALPS_USER"
#  define ALPS_REFUSED_
#endif

/* The program's handler for faults, which one of its units defines. */
#ifdef ALPS_FAULTS
extern alps_faults ALPS_FAULTS;
#  define ALPS_FAULTS_ &ALPS_FAULTS
#else
#  define ALPS_FAULTS_ NULL
#endif

/* Any table does where the compiler goes on after the refusal: it should find
 * nothing else to complain about. */
#ifdef ALPS_REFUSED_
#  undef ALPS_BACKEND_TABLE_
#  undef ALPS_POLICY_TABLE_
#  define ALPS_BACKEND_TABLE_ &alps_backend_anon_
#  define ALPS_POLICY_TABLE_ &alps_policy_none_
#endif
