/* objects.h: Python objects as pybackprop._call reads them: slots by their place, arrays by their
 * layout. */
#ifndef BP_OBJECTS_H
#define BP_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <structmember.h>

#include "pybackprop.h"

/* The beginning of numpy's PyArrayObject, which is part of its ABI: see knows_arrays. */
typedef struct {
    PyObject_HEAD char *data;
    int axes;
    Py_ssize_t *shape, *strides;
    PyObject *base, *dtype;
    int flags;
} array_object;

enum { C_CONTIGUOUS = 0x1, ALIGNED = 0x100, WRITEABLE = 0x400, USABLE = C_CONTIGUOUS | ALIGNED };

/* Where a slot of a type's objects is; -1 if it has none of that name. */
static inline Py_ssize_t offset_of(PyTypeObject *type, const char *name) {
    for (; type; type = PyType_GetSlot(type, Py_tp_base)) {
        const PyMemberDef *member = PyType_GetSlot(type, Py_tp_members);
        for (; member && member->name; member++)
            if (member->type == T_OBJECT_EX && strcmp(member->name, name) == 0) return member->offset;
    }
    return -1;
}

static inline PyObject **place_of(PyObject *object, Py_ssize_t offset) {
    return (PyObject **)(void *)((char *)object + offset);
}

/* Puts a new reference into a slot. */
static inline void set(PyObject **at, PyObject *owned) {
    PyObject *before = *at;
    *at = owned;
    Py_XDECREF(before);
}

/* count + 1, a new reference; NULL with an exception. */
static inline PyObject *one_more(PyObject *count) {
    long long now = PyLong_AsLongLong(count);
    if (now == -1 && PyErr_Occurred()) return NULL;
    return now < LONG_MAX ? PyLong_FromLong((long)now + 1)
                          : PyLong_FromLongLong(now + 1); /* the first is faster */
}

/* ---- who else wants to know ---- */

/* The variables of core.observer and autograd.versions, which are kept by others. */
typedef struct {
    PyObject *observer, *debug;
    PyObject *active, *on; /* names */
} usual;

static inline int name_variables(usual *self) {
    self->active = PyUnicode_InternFromString("active"), self->on = PyUnicode_InternFromString("on");
    return self->active && self->on ? 0 : -1;
}

static inline void forget_names(usual *self) {
    Py_CLEAR(self->active);
    Py_CLEAR(self->on);
}

/* Whether nobody wants to know more than the results: see core/observer.py, bp.debug. */
static inline int is_usual(const usual *self) {
    return PyDict_GetItemWithError(self->observer, self->active) == Py_None &&
           PyDict_GetItemWithError(self->debug, self->on) == Py_False;
}

/* ---- types ---- */

/* The slots and the specification of a type that the garbage collector visits, from the functions
   prepare, visit_all, clear and release and the table methods. */
#define BP_TYPE(NAME, OBJECT, TEXT)                                                                     \
    static PyType_Slot slots[] = {{Py_tp_doc, (void *)(TEXT)},                                          \
                                  {Py_tp_new, (void *)prepare},                                         \
                                  {Py_tp_methods, methods},                                             \
                                  {Py_tp_traverse, (void *)visit_all},                                  \
                                  {Py_tp_clear, (void *)clear},                                         \
                                  {Py_tp_dealloc, (void *)release},                                     \
                                  {0}};                                                                 \
    static PyType_Spec spec = {"pybackprop._call." NAME, sizeof(OBJECT), 0,                             \
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots}

static inline int add_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int status = type ? PyModule_AddObjectRef(module, name, type) : -1;
    Py_XDECREF(type);
    return status;
}

/* The end of a release. */
static inline void free_object(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* Whether numpy's arrays are laid out as array_object is: probe is an array (2,3) of dtype, not
   contiguous. */
static inline int knows_arrays(PyObject *probe, PyObject *dtype, unsigned long long address) {
    PyObject *size = PyObject_GetAttrString((PyObject *)Py_TYPE(probe), "__basicsize__");
    Py_ssize_t bytes = size ? PyLong_AsSsize_t(size) : -1;
    Py_XDECREF(size);
    const array_object *array = (const array_object *)(void *)probe;
    if (bytes < (Py_ssize_t)sizeof *array || (uintptr_t)array->data != (uintptr_t)address) return 0;
    if (array->axes != 2 || array->dtype != dtype || (array->flags & USABLE) != ALIGNED) return 0;
    return array->shape[0] == 2 && array->shape[1] == 3;
}

#endif
