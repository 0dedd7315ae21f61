/* eager.c: the operations of the lesson on small tensors, one short call each: see
   pybackprop/ops/short.py.

   A call does what the functions in pybackprop/ops do for the usual operands: contiguous, of one dtype,
   with fitting shapes. Everything is checked before anything is written. If anything is not as expected
   it returns None, with nothing done, and the caller takes its usual way, where all error messages come
   from. The GIL is kept and no Python code runs, the garbage collector's included, so what was checked
   stays as it is. */
#include "eager_gradients.h"

/* given: x, w, b or None */
static PyObject *lin(const eager *self, PyObject *const *given, Py_ssize_t count) {
    operands in;
    product p;
    if (count != 3 || !read_all(self, given, given[2] == Py_None ? 2 : 3, 1, &in)) return NULL;
    if (!is_product(self, &in, &p)) return NULL;
    Py_ssize_t shape[] = {in.array[0]->shape[0], in.array[1]->shape[1]};
    PyObject *out = is_small(self, 2, shape, in.is_double) ? empty(self, 2, shape, in.is_double) : NULL;
    if (!out) return NULL;
    void *b = in.count == 3 ? at(&in, 2) : NULL;
    bp_status status = CALL(self, in.is_double, bp_linear_forward, data_of(out), at(&in, 0), at(&in, 1),
                            b, p.n, p.m, p.h);
    unsigned saved = (unsigned)(wants_gradient(self, given[1]) | wants_gradient(self, given[0]) << 1);
    return result_of(self, out, status, given, in.count, saved);
}

/* given: x */
static PyObject *relu(const eager *self, PyObject *const *given, Py_ssize_t count) {
    operands in;
    if (count != 1 || !read_all(self, given, 1, 1, &in)) return NULL;
    int axes = in.array[0]->axes;
    const Py_ssize_t *shape = in.array[0]->shape;
    PyObject *out =
        is_small(self, axes, shape, in.is_double) ? empty(self, axes, shape, in.is_double) : NULL;
    if (!out) return NULL;
    CALL(self, in.is_double, bp_relu_forward, data_of(out), at(&in, 0), (size_t)size_of(in.array[0]));
    return result_of(self, out, BP_OK, given, 1, 1);
}

/* given: out, targ */
static PyObject *mse(const eager *self, PyObject *const *given, Py_ssize_t count) {
    operands in;
    product p;
    if (count != 2 || !read_all(self, given, 2, 1, &in) || !is_compared(self, &in, &p)) return NULL;
    PyObject *loss = empty(self, 0, NULL, in.is_double);
    if (!loss) return NULL;
    bp_status status =
        CALL(self, in.is_double, bp_mse_forward, data_of(loss), at(&in, 0), at(&in, 1), p.n, p.h);
    return result_of(self, loss, status, given, 2, 3);
}

/* given: the array of a loss, its node. A tensor of a copy of it, on the tape. */
static PyObject *taped(const eager *self, PyObject *const *given, Py_ssize_t count) {
    const classes *all = &self->all;
    const array_object *loss = count == 2 ? usable_array(all, given[0]) : NULL;
    if (!loss || loss->axes != 0) return NULL;
    int is_double = loss->dtype == all->float64;
    PyObject *copy = empty(self, 0, NULL, is_double);
    if (!copy) return NULL;
    memcpy(data_of(copy), loss->data, is_double ? sizeof(double) : sizeof(float));
    PyObject *tensor = tensor_of(all, copy, NULL, Py_None, given[1]);
    Py_DECREF(copy);
    return tensor;
}

/* ---- the type ---- */

typedef PyObject *operation(const eager *, PyObject *const *, Py_ssize_t);

/* Runs an operation; None if that could not be done here. */
static PyObject *run(PyObject *object, operation *computed, PyObject *const *given, Py_ssize_t count) {
    const eager *self = (const eager *)(void *)object;
    PyObject *result = NULL;
    if (self->kept && is_usual(&self->usual)) {
        int collects = PyGC_Disable();
        result = computed(self, given, count);
        if (collects) PyGC_Enable();
    }
    if (result || PyErr_Occurred()) return result;
    Py_RETURN_NONE;
}

#define METHOD(NAME)                                                                                    \
    static PyObject *run_##NAME(PyObject *object, PyObject *const *given, Py_ssize_t count) {           \
        return run(object, NAME, given, count);                                                         \
    }
METHOD(lin)
METHOD(relu)
METHOD(mse)
METHOD(lin_grad)
METHOD(relu_grad)
METHOD(mse_grad)
METHOD(taped)

/* The addresses of functions: for each of FUNCTIONS, those for float32 and float64. */
static int take_functions(eager *self, PyObject *addresses) {
    for (int k = 0; k < 2 * FUNCTION_COUNT; k++) {
        PyObject *address = PyTuple_GetItem(addresses, k);
        unsigned long long value = address ? PyLong_AsUnsignedLongLong(address) : 0;
        if (PyErr_Occurred()) return 0;
        self->functions[k / 2][k % 2] = (void (*)(void))(uintptr_t)value;
    }
    return 1;
}

PyDoc_STRVAR(
    EAGER,
    "Eager((Tensor, Version, GradientPlace, Node, Origin, Operand), (ForeignVersion, GradientVersion), "
    "(np.ndarray, float32, float64), (probe, its address), addresses of FUNCTIONS, (bytes, work, "
    "depth), "
    "operation, name of its gradient function, vars(observer), vars(versions), switch, np.empty, "
    "NO_PARAMS). Raises TypeError for what cannot be read directly.");

static PyObject *prepare(PyTypeObject *type, PyObject *given, PyObject *names) {
    eager p = {0};
    PyObject *kinds, *addresses, *probe;
    unsigned long long place;
    (void)names;
    if (!PyArg_ParseTuple(given, "O!(OO)(OOO)(OK)O!(ddl)OUO!O!OOO", &PyTuple_Type, &kinds,
                          &p.all.foreign, &p.all.gradient, &p.all.array, &p.all.float32, &p.all.float64,
                          &probe, &place, &PyTuple_Type, &addresses, &p.most_bytes, &p.most_work,
                          &p.most_depth, &p.op, &p.grad_name, &PyDict_Type, &p.usual.observer,
                          &PyDict_Type, &p.usual.debug, &p.tape, &p.empty, &p.no_params))
        return NULL;
    if (!take_functions(&p, addresses)) return NULL;
    if (!find_slots(&p.all, kinds) || Py_TYPE(probe) != p.all.array ||
        !knows_arrays(probe, p.all.float32, place)) {
        PyErr_SetString(PyExc_TypeError, "tensors or arrays are laid out in an unknown way");
        return NULL;
    }
    PyObject *own = Py_BuildValue("sssssi()s", "active", "on", "recording", "inplace", "forget", 0, "");
    PyObject **constants[] = {&p.usual.active, &p.usual.on, &p.recording,   &p.inplace,
                              &p.forget,       &p.all.zero, &p.all.nothing, &p.all.no_text};
    for (int k = 0; own && k < 8; k++) *constants[k] = PyTuple_GetItem(own, k);
    p.kept = own ? PyTuple_Pack(2, given, own) : NULL;
    Py_XDECREF(own);
    eager *self =
        p.kept ? (eager *)(void *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0) : NULL;
    if (!self) {
        Py_XDECREF(p.kept);
        return NULL;
    }
    p.ob_base = self->ob_base;
    *self = p;
    return (PyObject *)self;
}

static int visit_all(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT((PyObject *)Py_TYPE(object));
    Py_VISIT(((eager *)(void *)object)->kept);
    return 0;
}

static int clear(PyObject *object) {
    Py_CLEAR(((eager *)(void *)object)->kept);
    return 0;
}

static void release(PyObject *object) {
    PyObject_GC_UnTrack(object);
    clear(object);
    free_object(object);
}

#define ENTRY(NAME) {#NAME, (PyCFunction)(void *)run_##NAME, METH_FASTCALL, NULL}
static PyMethodDef methods[] = {ENTRY(lin),       ENTRY(relu),     ENTRY(mse),   ENTRY(lin_grad),
                                ENTRY(relu_grad), ENTRY(mse_grad), ENTRY(taped), {0}};
BP_TYPE("Eager", eager, EAGER);

/* Adds the type, and the names of FUNCTIONS, to pybackprop._call. */
int bp_add_eager(PyObject *module) {
    PyObject *names = PyTuple_New(FUNCTION_COUNT);
    for (int k = 0; names && k < FUNCTION_COUNT; k++) {
        PyObject *name = PyUnicode_FromString(FUNCTION_NAMES[k]);
        if (!name || PyTuple_SetItem(names, k, name) < 0) Py_CLEAR(names);
    }
    int status = names ? add_type(module, &spec, "Eager") : -1;
    if (status == 0) status = PyModule_AddObjectRef(module, "FUNCTIONS", names);
    Py_XDECREF(names);
    return status;
}
