# C types of the loops: positions in a row, which are below its length, and the kinds of objects.
cimport cython

@cython.locals(end=bytes, found=dict, run=list, part=bytes)
cpdef dict parts_in(object packed)

@cython.locals(shown=dict, entry=bytes, keys=list, key=bytes, stamp=bytes, last=bytes, nothing=bytes, key_end=bytes, end=cython.Py_ssize_t, stamp_at=cython.Py_ssize_t, keys_at=cython.Py_ssize_t, is_ascending=cython.bint)
cpdef count_entries(dict parts, object entries, bytes scope)

@cython.locals(key=bytes, stamps=bytes, part=bytes, key_end=bytes, most=cython.Py_ssize_t, each=cython.Py_ssize_t, body=cython.Py_ssize_t, times=cython.Py_ssize_t)
cpdef _count_showings(dict parts, dict shown, cython.bint is_ascending)
