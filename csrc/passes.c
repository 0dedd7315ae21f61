/* passes.c: pybackprop._call.Passes, a Model's forward and backward as one short call each: see
   engine/shortcut.py and engine/one_pass.py.

   forward does what Shortcut.forward does where the last pass's memory can be used again; backward what
   tape.backward does where the loss is a Pass that can do it at once. Everything is checked before
   anything is written. If anything is not as expected they return None, with nothing done, and the
   caller takes its usual way, where all error messages come from. The GIL is kept. */
#include "passes_forward.h"

/* ---- backward ---- */

/* See Held.is_stale; also what is no plain tensor or array. */
static int is_stale(const passes *self, PyObject *held) {
    const classes *all = &self->all;
    PyObject *given = is_own(self, held, HELD) ? *own(self, HELD, held, GIVEN) : NULL;
    if (!given || !is_a(all, given, TENSOR)) return !given || Py_TYPE(given) != all->array;
    return of_tensor(all, given, REQUIRES_G) != Py_False || !version_of(all, given) ||
           !equal(count_of(all, given), *own(self, HELD, held, HELD_VERSION));
}

/* Whether an inner weight was written to since the forward pass. */
static int are_read(const passes *self, PyObject *versions) {
    Py_ssize_t count = PyTuple_Size(self->inner);
    if (!PyList_Check(versions) || PyList_Size(versions) != count) return 0;
    for (Py_ssize_t k = 0; k < count; k++) {
        PyObject *w = PyTuple_GetItem(self->inner, k);
        if (!version_of(&self->all, w) || !equal(count_of(&self->all, w), PyList_GetItem(versions, k)))
            return 0;
    }
    return 1;
}

/* The pass behind a loss, if its values are those of the forward pass. */
static PyObject *intact_pass(const passes *self, PyObject *loss) {
    if (!is_a(&self->all, loss, TENSOR) || of_tensor(&self->all, loss, REQUIRES_G) != Py_True)
        return NULL;
    PyObject *pass = of_tensor(&self->all, loss, NODE);
    PyObject *space = is_own(self, pass, PASS) ? *own(self, PASS, pass, WORKSPACE) : NULL;
    if (!is_own(self, space, SPACE) || *own(self, SPACE, space, LAYERS) != self->layers) return NULL;
    if (*own(self, SPACE, space, SMALL) != Py_True || *own(self, SPACE, space, SPENT) != Py_False)
        return NULL;
    if (is_stale(self, *own(self, SPACE, space, DATA)) ||
        is_stale(self, *own(self, SPACE, space, TARGETS)))
        return NULL;
    return are_read(self, *own(self, SPACE, space, READ_VERSIONS)) ? pass : NULL;
}

/* One more walk along the tape; -1 with an exception. */
static int count_walk(const passes *self) {
    PyObject *walks = PyDict_GetItem(self->tape, self->names[WALKS]);
    PyObject *next = walks ? one_more(walks) : NULL;
    int status = next ? PyDict_SetItem(self->tape, self->names[WALKS], next) : -1;
    Py_XDECREF(next);
    return status;
}

/* The status of Writer.backward, on the workspace's data; -1 if it did nothing, or with an exception. */
static long write_gradients(const passes *self, PyObject *space, PyObject *accumulate) {
    PyObject *x = *own(self, SPACE, space, DATA), *targ = *own(self, SPACE, space, TARGETS);
    PyObject *call = *own(self, SPACE, space, SHORT), *n = *own(self, SPACE, space, ROWS);
    if (call == Py_None) return -1;
    PyObject *status = PyObject_CallFunctionObjArgs(
        call, *own(self, HELD, x, HELD_ARRAY), *own(self, HELD, targ, HELD_ARRAY), n, accumulate, NULL);
    long value = status && status != Py_None ? PyLong_AsLong(status) : -1;
    Py_XDECREF(status);
    return value;
}

/* Notes what a backward has done; -1 with an exception. */
static int finish(const passes *self, PyObject *loss, PyObject *pass, PyObject *space, long status) {
    set(own(self, SPACE, space, SPENT), Py_NewRef(Py_True));
    if (status != BP_OK) {
        Py_XDECREF(PyObject_CallFunction(self->check, "l", status));
        return -1;
    }
    set(own(self, PASS, pass, DONE), Py_NewRef(Py_True));
    set(part(&self->all, TENSOR, loss, G), Py_NewRef(Py_None));
    return count_walk(self);
}

/* given: the loss, keep, accumulate */
static PyObject *backward(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    const passes *self = (const passes *)(void *)object;
    if (count != 3 || !self->kept || given[1] != Py_False) Py_RETURN_NONE;
    PyObject *pass = intact_pass(self, given[0]);
    if (!pass) Py_RETURN_NONE;
    PyObject *space = Py_NewRef(*own(self, PASS, pass, WORKSPACE));
    Py_INCREF(pass);
    long status = write_gradients(self, space, given[2]);
    int done = status >= 0 && finish(self, given[0], pass, space, status) == 0;
    Py_DECREF(pass);
    Py_DECREF(space);
    if (done) Py_RETURN_TRUE;
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* ---- the type ---- */

/* Keeps what was given and what is made from it; -1 with an exception. */
static int keep(passes *self, PyObject *given) {
    PyObject *own_constants = Py_BuildValue("i()", 0), *names = PyTuple_New(NAME_COUNT);
    for (int k = 0; names && k < NAME_COUNT; k++) {
        PyObject *name = PyUnicode_InternFromString(NAMED[k]);
        self->names[k] = name;
        if (!name || PyTuple_SetItem(names, k, name) < 0) Py_CLEAR(names);
    }
    if (own_constants && names) {
        self->all.zero = PyTuple_GetItem(own_constants, 0),
        self->all.nothing = PyTuple_GetItem(own_constants, 1);
        self->kept = PyTuple_Pack(3, given, own_constants, names);
    }
    Py_XDECREF(own_constants);
    Py_XDECREF(names);
    return self->kept ? 0 : -1;
}

/* Finds all slots; -1 with an exception. */
static int learn(passes *self, PyObject *kinds, PyObject *own_kinds, PyObject *probe,
                 unsigned long long place) {
    if (find_slots(&self->all, kinds) && find_own(self, own_kinds) &&
        Py_TYPE(probe) == self->all.array && knows_arrays(probe, self->all.float32, place))
        return 0;
    PyErr_SetString(PyExc_TypeError, "tensors or arrays are laid out in an unknown way");
    return -1;
}

static PyObject *prepare(PyTypeObject *type, PyObject *given, PyObject *names) {
    passes p = {0};
    unsigned long long function, described, place;
    Py_ssize_t count;
    PyObject *kinds, *own_kinds, *probe, *triples;
    (void)names;
    if (!PyArg_ParseTuple(given, "(KKnp)(nn)O!(OO)(OOO)(OK)O!OO!O!O!OO(O!O!O!)OOO", &function,
                          &described, &count, &p.is_double, &p.inputs, &p.outputs, &PyTuple_Type, &kinds,
                          &p.all.foreign, &p.all.gradient, &p.all.array, &p.all.float32, &p.all.float64,
                          &probe, &place, &PyTuple_Type, &own_kinds, &p.layers, &PyTuple_Type, &p.items,
                          &PyTuple_Type, &triples, &PyTuple_Type, &p.inner, &p.loss, &p.inplace,
                          &PyDict_Type, &p.usual.observer, &PyDict_Type, &p.usual.debug, &PyDict_Type,
                          &p.tape, &p.tape_switch, &p.empty, &p.check))
        return NULL;
    passes *self = (passes *)(void *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    p.ob_base = self->ob_base;
    *self = p;
    self->function = (void (*)(void))(uintptr_t)function;
    self->described = (const bp_layer *)(uintptr_t)described;
    self->count = (size_t)count;
    if (learn(self, kinds, own_kinds, probe, place) == 0 && keep(self, given) == 0 &&
        watch(&self->watched, triples) == 0 && name_variables(&self->usual) == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int visit_all(PyObject *object, visitproc visit, void *arg) {
    const passes *self = (const passes *)(void *)object;
    Py_VISIT((PyObject *)Py_TYPE(object));
    Py_VISIT(self->kept);
    return 0;
}

/* Without `kept`, the methods do nothing. */
static int clear(PyObject *object) {
    passes *self = (passes *)(void *)object;
    Py_CLEAR(self->kept);
    return 0;
}

static void release(PyObject *object) {
    passes *self = (passes *)(void *)object;
    PyObject_GC_UnTrack(object);
    clear(object);
    forget_names(&self->usual);
    unwatch(&self->watched);
    free_object(object);
}

PyDoc_STRVAR(
    PASSES,
    "Passes((function, layers, how many, is_double), (inputs, outputs), the classes and arrays as for "
    "Eager, (Pass, PassWorkspace, Held, Shortcut), the object around layers, the Model's layers, "
    "triples as for Watch, inner weights, loss, inplace, (vars(observer), vars(versions), "
    "vars(tape)), switch, np.empty, check). forward(shortcut, model, layers, loss, inplace, x, targ) "
    "gives the loss; backward(loss, keep, accumulate) True; both None, with nothing done, if "
    "anything differs. Raises TypeError for what cannot be read directly.");

static PyMethodDef methods[] = {{"forward", (PyCFunction)(void *)forward, METH_FASTCALL, NULL},
                                {"backward", (PyCFunction)(void *)backward, METH_FASTCALL, NULL},
                                {0}};
BP_TYPE("Passes", passes, PASSES);

/* Adds the type to pybackprop._call. */
int bp_add_passes(PyObject *module) { return add_type(module, &spec, "Passes"); }
