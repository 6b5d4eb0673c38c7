/* section.h -- not a part */
