# C types of the hash: it is masked to 32 bits, so no product exceeds 64.
cimport cython

cdef unsigned long long _M, _SEED, _MASK

@cython.locals(length=cython.Py_ssize_t, words=cython.Py_ssize_t, index=cython.Py_ssize_t, h=cython.ulonglong, k=cython.ulonglong, word=cython.ulonglong)
cpdef unsigned long long murmur2(bytes data) except? 0
