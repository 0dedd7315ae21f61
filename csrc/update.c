/* update.c: pybackprop._call.Update, the optimizer's update of small parameters as one short call: see
 * nn/optim.py. */
#include "watch.h"

typedef struct {
    PyObject_HEAD watched watched;
    counters parameters, gradients; /* the versions of both */
    void (*function)(void);
    const bp_parameter *described;
    size_t count;
    int is_double, moves;
    PyObject *items, *arrays, *used; /* parameters, their arrays; see _Bound */
    PyObject *observer, *debug, *tape,
        *operation;  /* the variables of three modules; the operation's name */
    PyObject *names; /* "active", "on", "walks" */
    PyObject *kept;  /* owns all but names */
} update;

static PyObject *variable(const update *self, PyObject *module, int name) {
    return PyDict_GetItem(module, PyTuple_GetItem(self->names, name));
}

/* Whether nothing has changed since the last update but the values of the gradients. */
static int is_usual(const update *self, PyObject *parameters) {
    if (variable(self, self->observer, 0) != Py_None || variable(self, self->debug, 1) != Py_False)
        return 0;
    if (!is_made_of(parameters, self->items) || !is_same(&self->watched)) return 0;
    for (Py_ssize_t k = 0; k < PyTuple_Size(self->arrays); k++)
        if (!(((array_object *)(void *)PyTuple_GetItem(self->arrays, k))->flags & WRITEABLE)) return 0;
    return 1;
}

/* Whether every gradient was written since: see _Bound.check_renewed. */
static int is_renewed(const update *self) {
    if (PyList_Size(self->used) != self->gradients.count + 1) return 0;
    for (Py_ssize_t k = 0; k < self->gradients.count; k++)
        if (PyObject_RichCompareBool(PyList_GetItem(self->used, k), *self->gradients.at[k].count, Py_EQ))
            return 0;
    return 1;
}

static int remember(const update *self) {
    PyObject *walks = variable(self, self->tape, 2);
    for (Py_ssize_t k = 0; k < self->gradients.count; k++)
        if (PyList_SetItem(self->used, k, Py_NewRef(*self->gradients.at[k].count)) < 0) return -1;
    return PyList_SetItem(self->used, self->gradients.count, Py_XNewRef(walks));
}

/* given: parameters, lr, momentum */
static PyObject *run(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    const update *self = (const update *)(void *)object;
    if (count != 3 || !self->kept || !PyFloat_CheckExact(given[1]) || !PyFloat_CheckExact(given[2]))
        Py_RETURN_NONE;
    double lr = PyFloat_AsDouble(given[1]), momentum = PyFloat_AsDouble(given[2]);
    if ((momentum != 0) != self->moves || !is_usual(self, given[0]) || !is_renewed(self)) Py_RETURN_NONE;
    if (touch(&self->parameters, self->operation) < 0) return NULL;
    if (self->is_double)
        ((__typeof__(bp_sgd_step_f64) *)self->function)(self->described, self->count, lr, momentum);
    else
        ((__typeof__(bp_sgd_step_f32) *)self->function)(self->described, self->count, lr, momentum);
    if (remember(self) < 0) return NULL;
    Py_RETURN_TRUE;
}

static PyObject *prepare(PyTypeObject *type, PyObject *given, PyObject *names) {
    update p = {0};
    unsigned long long function, described;
    Py_ssize_t count;
    PyObject *triples, *parameters, *gradients, *kept;
    (void)names;
    if (!PyArg_ParseTuple(given, "KKnppO!O!O!O!O!O!O!O!O!UO", &function, &described, &count,
                          &p.is_double, &p.moves, &PyTuple_Type, &p.items, &PyTuple_Type, &p.arrays,
                          &PyTuple_Type, &triples, &PyTuple_Type, &parameters, &PyTuple_Type, &gradients,
                          &PyList_Type, &p.used, &PyDict_Type, &p.observer, &PyDict_Type, &p.debug,
                          &PyDict_Type, &p.tape, &p.operation, &kept))
        return NULL;
    update *self = (update *)(void *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    p.ob_base = self->ob_base;
    *self = p;
    self->function = (void (*)(void))(uintptr_t)function;
    self->described = (const bp_parameter *)(uintptr_t)described;
    self->count = (size_t)count;
    self->kept = Py_NewRef(given);
    self->names = Py_BuildValue("sss", "active", "on", "walks");
    if (self->names && watch(&self->watched, triples) == 0 &&
        watch_versions(&self->parameters, parameters, 1) == 0 &&
        watch_versions(&self->gradients, gradients, 0) == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int visit_all(PyObject *object, visitproc visit, void *arg) {
    const update *self = (const update *)(void *)object;
    Py_VISIT((PyObject *)Py_TYPE(object));
    Py_VISIT(self->watched.attributes);
    Py_VISIT(self->kept);
    return 0;
}

/* Without `kept`, run does nothing. */
static int clear(PyObject *object) {
    update *self = (update *)(void *)object;
    Py_CLEAR(self->watched.attributes);
    Py_CLEAR(self->kept);
    return 0;
}

static void release(PyObject *object) {
    update *self = (update *)(void *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    Py_CLEAR(self->names);
    PyMem_Free(self->watched.slots);
    PyMem_Free(self->parameters.at);
    PyMem_Free(self->gradients.at);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(UPDATE, "Update(function, its parameters, how many, is_double, moves, tensors, their "
                     "arrays, triples as for Watch, "
                     "versions, versions of gradients, used, vars(observer), vars(versions), "
                     "vars(tape), operation, kept). "
                     "run(tensors, lr, momentum) updates; None, with nothing done, if anything differs. "
                     "Raises TypeError for "
                     "what cannot be read directly.");

static PyMethodDef methods[] = {{"run", (PyCFunction)(void *)run, METH_FASTCALL, NULL}, {0}};
static PyType_Slot slots[] = {{Py_tp_doc, (void *)UPDATE},
                              {Py_tp_new, (void *)prepare},
                              {Py_tp_methods, methods},
                              {Py_tp_traverse, (void *)visit_all},
                              {Py_tp_clear, (void *)clear},
                              {Py_tp_dealloc, (void *)release},
                              {0}};
static PyType_Spec spec = {"pybackprop._call.Update", sizeof(update), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};

/* Adds the type to pybackprop._call. */
int bp_add_update(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    int status = type ? PyModule_AddObjectRef(module, "Update", type) : -1;
    Py_XDECREF(type);
    return status;
}
