/* watch.c: pybackprop._call.Watch, which compares many attributes in one call. */
#include "watch.h"

typedef struct {
    PyObject_HEAD watched watched;
    PyObject *items; /* a tuple */
    PyObject *kept;  /* the triples */
} watcher;

static PyObject *same(PyObject *object, PyObject *sequence) {
    const watcher *self = (const watcher *)(void *)object;
    return PyBool_FromLong(self->kept && is_made_of(sequence, self->items) && is_same(&self->watched));
}

static PyObject *prepare(PyTypeObject *type, PyObject *given, PyObject *names) {
    PyObject *items, *triples;
    (void)names;
    if (!PyArg_ParseTuple(given, "O!O!", &PyTuple_Type, &items, &PyTuple_Type, &triples)) return NULL;
    watcher *self = (watcher *)(void *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    self->items = Py_NewRef(items), self->kept = Py_NewRef(triples);
    if (watch(&self->watched, triples) == 0) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int visit_all(PyObject *object, visitproc visit, void *arg) {
    const watcher *self = (const watcher *)(void *)object;
    Py_VISIT((PyObject *)Py_TYPE(object));
    Py_VISIT(self->items);
    Py_VISIT(self->kept);
    return 0;
}

static int clear(PyObject *object) {
    watcher *self = (watcher *)(void *)object;
    Py_CLEAR(self->items);
    Py_CLEAR(self->kept);
    return 0;
}

static void release(PyObject *object) {
    PyObject_GC_UnTrack(object);
    clear(object);
    unwatch(&((watcher *)(void *)object)->watched);
    free_object(object);
}

PyDoc_STRVAR(WATCH, "Watch(items, triples): triples is a tuple of (object, name, expected). "
                    "same(sequence) says whether it "
                    "consists of the items, and each attribute is the expected object, a list or dict "
                    "equal to it, or, where "
                    "it is a number, a dict of that size.");

static PyMethodDef methods[] = {{"same", same, METH_O, NULL}, {0}};
BP_TYPE("Watch", watcher, WATCH);

/* Adds the type to pybackprop._call. */
int bp_add_watch(PyObject *module) { return add_type(module, &spec, "Watch"); }
