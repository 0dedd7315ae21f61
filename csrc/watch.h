/* watch.h: whether attributes of objects are still what they were, and versions, which count writes. */
#ifndef BP_WATCH_H
#define BP_WATCH_H

#include "objects.h"

/* A slot of an object that is kept alive, and what has to be in it. */
typedef struct {
    PyObject **at, *expected;
} slot;

/* What is no slot: an object's class and the size of its dict, read without looking them up; else any
 * attribute. */
typedef struct {
    enum { CLASS, SIZE, ANY } kind;
    PyObject *object, *name, *expected;
} attribute;

/* All of it borrows from the triples. */
typedef struct {
    slot *slots;
    attribute *attributes;
    Py_ssize_t slot_count, attribute_count;
} watched;

/* The place of an object's slot; NULL if the attribute is no slot, or reading it gives something else.
 */
static inline PyObject **slot_of(PyObject *object, PyObject *name) {
    PyObject *encoded = PyUnicode_AsUTF8String(name);
    if (!encoded) return NULL;
    Py_ssize_t offset = offset_of(Py_TYPE(object), PyBytes_AsString(encoded));
    Py_DECREF(encoded);
    if (offset < 0) return NULL;
    PyObject **at = place_of(object, offset), *read = PyObject_GetAttr(object, name);
    if (!read) return NULL;
    Py_DECREF(read);
    return *at == read ? at : NULL;
}

/* Whether an attribute is what is expected: the same object, an equal list or dict, a dict of that size.
 */
static inline int is_expected(PyObject *now, PyObject *expected) {
    if (now == expected) return 1;
    if (PyLong_CheckExact(expected))
        return PyDict_Check(now) && PyDict_Size(now) == PyLong_AsSsize_t(expected);
    if (!PyList_CheckExact(expected) && !PyDict_CheckExact(expected)) return 0;
    return Py_TYPE(now) == Py_TYPE(expected) && PyObject_RichCompareBool(now, expected, Py_EQ) == 1;
}

static inline int is_dict_of(PyObject *object, PyObject *size) {
    PyObject *dict = PyObject_GenericGetDict(object, NULL);
    int same = dict && PyDict_Size(dict) == PyLong_AsSsize_t(size);
    Py_XDECREF(dict);
    return same;
}

static inline int is_attribute(const attribute *a) {
    if (a->kind == CLASS) return (PyObject *)Py_TYPE(a->object) == a->expected;
    if (a->kind == SIZE) return is_dict_of(a->object, a->expected);
    PyObject *now = PyObject_GetAttr(a->object, a->name);
    int same = now && is_expected(now, a->expected);
    Py_XDECREF(now);
    return same;
}

static inline int is_same(const watched *self) {
    for (const slot *s = self->slots; s < self->slots + self->slot_count; s++)
        if (*s->at != s->expected) return 0;
    for (const attribute *a = self->attributes; a < self->attributes + self->attribute_count; a++)
        if (!is_attribute(a)) {
            PyErr_Clear(); /* the usual way meets the same error */
            return 0;
        }
    return 1;
}

/* How an attribute can be read; SIZE and CLASS where that gives what reading the attribute gives. */
static inline int kind_of(PyObject *object, PyObject *name, PyObject *expected) {
    int kind = ANY;
    PyObject *read = PyObject_GetAttr(object, name), *dict = PyObject_GenericGetDict(object, NULL);
    if (read && read == (PyObject *)Py_TYPE(object) && read == expected &&
        PyUnicode_CompareWithASCIIString(name, "__class__") == 0)
        kind = CLASS;
    if (read && read == dict && PyLong_CheckExact(expected) &&
        PyUnicode_CompareWithASCIIString(name, "__dict__") == 0)
        kind = SIZE;
    Py_XDECREF(read);
    Py_XDECREF(dict);
    PyErr_Clear();
    return kind;
}

/* Divides triples (object, name, expected), which the caller keeps, into slots and attributes. -1 with
 * an exception. */
static inline int watch(watched *self, PyObject *triples) {
    Py_ssize_t count = PyTuple_Size(triples);
    if (count < 0) return -1;
    self->slots = PyMem_Calloc((size_t)count + 1, sizeof *self->slots);
    self->attributes = PyMem_Calloc((size_t)count + 1, sizeof *self->attributes);
    for (Py_ssize_t k = 0; k < count && self->slots && self->attributes; k++) {
        PyObject *object, *name, *expected;
        if (!PyArg_ParseTuple(PyTuple_GetItem(triples, k), "OUO", &object, &name, &expected)) return -1;
        PyObject **at = slot_of(object, name);
        PyErr_Clear();
        if (at)
            self->slots[self->slot_count++] = (slot){at, expected};
        else
            self->attributes[self->attribute_count++] =
                (attribute){kind_of(object, name, expected), object, name, expected};
    }
    if (self->slots && self->attributes) return 0;
    PyErr_NoMemory();
    return -1;
}

/* Without what the triples kept, nothing is read any more. */
static inline void unwatch(watched *self) {
    PyMem_Free(self->slots);
    PyMem_Free(self->attributes);
    *self = (watched){0};
}

/* Whether a sequence consists of the items. */
static inline int is_made_of(PyObject *sequence, PyObject *items) {
    Py_ssize_t count = PyTuple_Size(items);
    if (PyList_CheckExact(sequence)) {
        int alike = PyList_Size(sequence) == count;
        for (Py_ssize_t k = 0; alike && k < count; k++)
            alike = PyList_GetItem(sequence, k) == PyTuple_GetItem(items, k);
        return alike;
    }
    int same = PySequence_Check(sequence) && PySequence_Size(sequence) == count;
    for (Py_ssize_t k = 0; same && k < count; k++) {
        PyObject *item = PySequence_GetItem(sequence, k);
        same = item == PyTuple_GetItem(items, k);
        Py_XDECREF(item);
    }
    PyErr_Clear();
    return same;
}

/* ---- versions ---- */

/* The slots of a version's count, and of the operation that wrote last. */
typedef struct {
    PyObject **count, **by;
} counter;

typedef struct {
    counter *at;
    Py_ssize_t count;
} counters;

/* Finds the slots of versions, which the caller keeps; of the operation only where it is needed. -1 with
 * an exception.
 */
static inline int watch_versions(counters *self, PyObject *versions, int with_operation) {
    Py_ssize_t count = PyTuple_Size(versions);
    if (count < 0) return -1;
    self->at = PyMem_Calloc((size_t)count + 1, sizeof *self->at);
    PyObject *names = Py_BuildValue("(ss)", "count", "by");
    int failed = !self->at || !names;
    for (Py_ssize_t k = 0; k < count && !failed; k++) {
        PyObject *version = PyTuple_GetItem(versions, k);
        self->at[k].count = slot_of(version, PyTuple_GetItem(names, 0));
        if (with_operation) self->at[k].by = slot_of(version, PyTuple_GetItem(names, 1));
        failed = !self->at[k].count || (with_operation && !self->at[k].by);
    }
    Py_XDECREF(names);
    if (failed && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "a version has no counter of its own");
    self->count = failed ? 0 : count;
    return failed ? -1 : 0;
}

/* Counts a write to each version, by an operation if it is given; -1 with an exception if there is no
 * memory. */
static inline int touch(const counters *self, PyObject *operation) {
    for (const counter *at = self->at; at < self->at + self->count; at++) {
        PyObject *next = one_more(*at->count);
        if (!next) return -1;
        set(at->count, next);
        if (operation) set(at->by, Py_NewRef(operation));
    }
    return 0;
}

#endif
