/* error.h -- what can go wrong, and how it is said
 *
 * Every refusal has a code of its own, so that a program can act on it. The
 * library never prints and never exits. */
#pragma once
#include "base.h"

enum {
    ALPS_OK = 0,
    ALPS_EINVAL = -1,     /* an argument that cannot be meant */
    ALPS_ENOMEM = -2,     /* no address space or memory for the process */
    ALPS_EFULL = -3,      /* no free run in the region is long enough */
    ALPS_ELIMIT = -4,     /* the region may not grow past its limit */
    ALPS_ENOSPC = -5,     /* the medium under the region is full */
    ALPS_EBUSY = -6,      /* open elsewhere in a way that excludes this */
    ALPS_EEXIST = -7,     /* exists: ALPS_EXCLUSIVE; or a name that is there */
    ALPS_ENOENT = -8,     /* does not exist; there is no such name */
    ALPS_EACCES = -9,     /* the system refuses permission */
    ALPS_EREADONLY = -10, /* the region was opened read-only */
    ALPS_EFORMAT = -11,   /* not a region of alps.h */
    ALPS_EVERSION = -12,  /* a region of a layout this header does not know */
    ALPS_ECORRUPT = -13,  /* damaged: a checksum or a structure is wrong */
    ALPS_EUNFINISHED = -14,   /* its creation was cut short: may be made anew */
    ALPS_ETRUNCATED = -15,    /* shorter than the region says it is */
    ALPS_ELAYOUT = -16,       /* made by a program with another layout name */
    ALPS_EINVALID_FREE = -17, /* not a live block: double, wild or interior */
    ALPS_EOWNER = -18,        /* a reservation of another process */
    ALPS_EUNSUPPORTED = -19,  /* the medium or the system cannot do this */
    ALPS_ENOTPMEM = -20,      /* ALPS_STRICT, and the medium cannot keep the
                                 promise of the policy (no MAP_SYNC) */
    ALPS_EIO = -21,           /* the medium failed to read or write */
    ALPS_EPROCESSES = -22,    /* every process slot of the region is taken */
    ALPS_ERECOVER = -23,      /* needs recovery; open it once for writing */
    ALPS_ESYSTEM = -24,       /* another error of the system: see errno */
    ALPS_EFORK = -25,         /* the child of a fork has to open the region for
                                 itself */
    ALPS_ETYPE = -26,    /* a name is there with another type, with elements
                         of another length, or with fewer */
    ALPS_EJOURNAL = -27, /* commits of the region are in a journal that is
                            not beside it */
    ALPS_EMISSING = -28, /* a region that is not in the space */
    ALPS_EABORTED = -29, /* the transaction was aborted by one inside of it */
    ALPS_EPART = -30 /* a file that the region goes on in is not there, or is
                            not the one */
};

/* The text of a code. Never NULL. Safe in any thread. */
ALPS_COLD_ const char *alps_error_text_(int code)
{
    static const char *const text[] = {
        "success",
        "invalid argument",
        "out of address space or memory",
        "no free run in the region is long enough",
        "the region may not grow past its limit",
        "the medium under the region is full",
        "the region is open elsewhere in a way that excludes this",
        "it exists already",
        "it does not exist",
        "permission denied by the system",
        "the region is open read-only",
        "not a region of alps.h",
        "a region of a layout this header does not know",
        "the region is damaged",
        "the creation of the region was cut short; it may be made anew",
        "the medium is shorter than the region in it",
        "the region was made with another layout name",
        "not a live block: double, wild or interior free",
        "the reservation belongs to another process",
        "not supported by the medium or the system",
        "the medium cannot keep the promise of the policy",
        "the medium failed to read or write",
        "every process slot of the region is taken",
        "the region needs recovery: open it once for writing",
        "error of the operating system",
        "the child of a fork has to open the region for itself",
        "the name is there with another type or length",
        "commits of the region are in a journal that is not beside it",
        "the region is not in the space",
        "the transaction was aborted",
        "a file that the region goes on in is missing, or is another",
    };
    if (code > 0 || code <= -(int)(sizeof text / sizeof *text))
        return "unknown code";
    return text[-code];
}

/* The code for what the system just answered in errno. */
ALPS_COLD_ int alps_oserror_(void)
{
    switch (errno) {
    case 0: return ALPS_OK;
    case EINVAL: return ALPS_EINVAL;
    case ENOMEM: return ALPS_ENOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ALPS_ENOSPC;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY: return ALPS_EBUSY;
    case EEXIST: return ALPS_EEXIST;
    case ENOENT:
    case ENOTDIR: return ALPS_ENOENT;
    case EACCES:
    case EPERM: return ALPS_EACCES;
    case EROFS: return ALPS_EREADONLY;
    case EOPNOTSUPP:
    case ENOSYS:
    case ENODEV: return ALPS_EUNSUPPORTED;
    case EIO: return ALPS_EIO;
    default: return ALPS_ESYSTEM;
    }
}
