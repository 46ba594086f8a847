# C types for the loop of the hash. Each product is masked to 32 bits before the next, so none exceeds 64 bits.
cimport cython

cdef unsigned long long _M, _SEED, _MASK

@cython.locals(h=cython.ulonglong, k=cython.ulonglong, word=cython.ulonglong)
cpdef object murmur2(object data)
