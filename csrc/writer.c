/* writer.c: pybackprop._call.Writer, the gradients of a Model's pass and an optimizer's update as one
   short call each: see engine/one_pass.py and nn/optim.py. */
#include "watch.h"

typedef struct {
    PyObject_HEAD watched watched;
    counters written, gradients; /* versions: of what is written; of gradients that are read */
    void (*function)(void);
    const void *described;           /* bp_parameter or bp_layer */
    size_t count;                    /* of these */
    bp_optimizer *optimizer;         /* of an update */
    int is_double, moves;            /* moves: whether momentum is not 0 */
    PyObject *items, *arrays, *used; /* an update's parameters, their arrays; see _Bound */
    usual usual;
    PyObject *tape, *operation; /* the variables of a module; the operation's name */
    PyObject *walks;            /* a name */
    PyObject *kept;             /* owns all but names */
} writer;

/* Whether nothing has changed since this was prepared but numbers, and nobody wants to know more than
 * these. */
static int is_unchanged(const writer *self) {
    return self->kept && is_usual(&self->usual) && is_same(&self->watched);
}

/* ---- update ---- */

static int are_writeable(PyObject *arrays) {
    for (Py_ssize_t k = 0; k < PyTuple_Size(arrays); k++)
        if (!(((array_object *)(void *)PyTuple_GetItem(arrays, k))->flags & WRITEABLE)) return 0;
    return 1;
}

/* Whether every gradient was written since the last update: see _Bound.check_renewed. */
static int is_renewed(const writer *self) {
    if (PyList_Size(self->used) != self->gradients.count + 1) return 0;
    for (Py_ssize_t k = 0; k < self->gradients.count; k++)
        if (PyObject_RichCompareBool(PyList_GetItem(self->used, k), *self->gradients.at[k].count, Py_EQ))
            return 0;
    return 1;
}

static int remember(const writer *self) {
    PyObject *walks = PyDict_GetItem(self->tape, self->walks);
    for (Py_ssize_t k = 0; k < self->gradients.count; k++)
        if (PyList_SetItem(self->used, k, Py_NewRef(*self->gradients.at[k].count)) < 0) return -1;
    return PyList_SetItem(self->used, self->gradients.count, Py_XNewRef(walks));
}

/* given: parameters, lr, momentum */
static PyObject *update(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    const writer *self = (const writer *)(void *)object;
    if (count != 3 || !PyFloat_CheckExact(given[1]) || !PyFloat_CheckExact(given[2])) Py_RETURN_NONE;
    double lr = PyFloat_AsDouble(given[1]), momentum = PyFloat_AsDouble(given[2]);
    if ((momentum != 0) != self->moves || !is_unchanged(self) || !is_made_of(given[0], self->items))
        Py_RETURN_NONE;
    if (!are_writeable(self->arrays) || !is_renewed(self)) Py_RETURN_NONE;
    if (touch(&self->written, self->operation) < 0) return NULL;
    if (self->is_double)
        ((__typeof__(bp_optimizer_step_f64) *)self->function)(self->described, self->count,
                                                              self->optimizer, lr, momentum);
    else
        ((__typeof__(bp_optimizer_step_f32) *)self->function)(self->described, self->count,
                                                              self->optimizer, lr, momentum);
    self->optimizer->steps++;
    if (remember(self) < 0) return NULL;
    Py_RETURN_TRUE;
}

/* ---- backward ---- */

/* given: the arrays of x and targ, n, accumulate. The arrays are those that forward read. */
static PyObject *backward(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    const writer *self = (const writer *)(void *)object;
    if (count != 4 || !is_unchanged(self) || (given[3] != Py_True && given[3] != Py_False))
        Py_RETURN_NONE;
    void *x = ((array_object *)(void *)given[0])->data, *targ = ((array_object *)(void *)given[1])->data;
    size_t n = PyLong_AsSize_t(given[2]);
    if (PyErr_Occurred() || touch(&self->written, self->operation) < 0) return NULL;
    int adds = given[3] == Py_True;
    bp_status status = self->is_double ? ((__typeof__(bp_chain_backward_f64) *)self->function)(
                                             NULL, self->described, self->count, x, targ, n, adds)
                                       : ((__typeof__(bp_chain_backward_f32) *)self->function)(
                                             NULL, self->described, self->count, x, targ, n, adds);
    return PyLong_FromLong(status);
}

/* ---- the type ---- */

static PyObject *prepare(PyTypeObject *type, PyObject *given, PyObject *names) {
    writer p = {0};
    unsigned long long function, described, optimizer;
    Py_ssize_t count;
    PyObject *triples, *written, *gradients, *kept;
    (void)names;
    if (!PyArg_ParseTuple(given, "KKnKppO!O!O!O!O!O!O!O!O!UO", &function, &described, &count, &optimizer,
                          &p.is_double, &p.moves, &PyTuple_Type, &p.items, &PyTuple_Type, &p.arrays,
                          &PyTuple_Type, &triples, &PyTuple_Type, &written, &PyTuple_Type, &gradients,
                          &PyList_Type, &p.used, &PyDict_Type, &p.usual.observer, &PyDict_Type,
                          &p.usual.debug, &PyDict_Type, &p.tape, &p.operation, &kept))
        return NULL;
    writer *self = (writer *)(void *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    p.ob_base = self->ob_base;
    *self = p;
    self->function = (void (*)(void))(uintptr_t)function;
    self->described = (const void *)(uintptr_t)described;
    self->count = (size_t)count;
    self->optimizer = (bp_optimizer *)(uintptr_t)optimizer;
    self->kept = Py_NewRef(given);
    self->walks = PyUnicode_InternFromString("walks");
    if (self->walks && name_variables(&self->usual) == 0 && watch(&self->watched, triples) == 0 &&
        watch_versions(&self->written, written, 1) == 0 &&
        watch_versions(&self->gradients, gradients, 0) == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int visit_all(PyObject *object, visitproc visit, void *arg) {
    const writer *self = (const writer *)(void *)object;
    Py_VISIT((PyObject *)Py_TYPE(object));
    Py_VISIT(self->kept);
    return 0;
}

/* Without `kept`, the methods do nothing. */
static int clear(PyObject *object) {
    writer *self = (writer *)(void *)object;
    Py_CLEAR(self->kept);
    return 0;
}

static void release(PyObject *object) {
    writer *self = (writer *)(void *)object;
    PyObject_GC_UnTrack(object);
    clear(object);
    Py_CLEAR(self->walks);
    forget_names(&self->usual);
    unwatch(&self->watched);
    PyMem_Free(self->written.at);
    PyMem_Free(self->gradients.at);
    free_object(object);
}

PyDoc_STRVAR(
    WRITER,
    "Writer(function, what it takes, how many, optimizer, is_double, moves, tensors, their arrays, "
    "triples as for Watch, "
    "versions, versions of gradients, used, vars(observer), vars(versions), vars(tape), "
    "operation, kept). "
    "update(tensors, lr, momentum) gives True; backward(x, targ, n, accumulate) a bp_status; "
    "both None, with "
    "nothing done, if anything differs. Raises TypeError for what cannot be read directly.");

static PyMethodDef methods[] = {{"update", (PyCFunction)(void *)update, METH_FASTCALL, NULL},
                                {"backward", (PyCFunction)(void *)backward, METH_FASTCALL, NULL},
                                {0}};
BP_TYPE("Writer", writer, WRITER);

/* Adds the type to pybackprop._call. */
int bp_add_writer(PyObject *module) { return add_type(module, &spec, "Writer"); }
