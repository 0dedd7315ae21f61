/* call.c: pybackprop._call, an optional second extension: steps of a plan that take a microsecond,
   without cffi's conversion of each argument. It calls the core by address and computes nothing itself.

   A Prepared is a plan's function with everything that a call relies on. A call compares all of that
   with what is there now, by identity, and reads the data's address, shape and flags from the arrays
   that it is given. Only if nothing differs does it call; else it does nothing and returns None, and the
   caller takes its usual way, where all error messages come from. The GIL is kept, so what was compared
   stays as it is until the core has returned. */
#include "watch.h"

int bp_add_eager(PyObject *module);  /* eager.c */
int bp_add_writer(PyObject *module); /* writer.c */
int bp_add_watch(PyObject *module);  /* watch.c */
int bp_add_passes(PyObject *module); /* passes.c */

typedef struct {
    PyObject_HEAD void (*function)(void);
    void *plan;
    int is_step, is_double, moves;
    Py_ssize_t most, inputs, outputs;
    PyObject *tensor, *array, *dtype;                        /* types of data */
    Py_ssize_t tensor_array, tensor_node, tensor_requires_g; /* where a tensor's slots are */
    PyObject *kept;                                          /* everything that pointers point into */
    watched watched;
    PyObject *refused; /* a tuple of objects that x must not be */
    counters versions;
    PyObject *operation, *check;
} prepared;

/* ---- reading objects ---- */

/* The array of x or targ, if it can be used as it is: an array, or a tensor of one, that nothing has to
   be computed for. */
static const array_object *usable(const prepared *self, PyObject *value) {
    if ((PyObject *)Py_TYPE(value) == self->tensor) {
        if (*place_of(value, self->tensor_node) != Py_None) return NULL;
        if (*place_of(value, self->tensor_requires_g) != Py_False) return NULL;
        value = *place_of(value, self->tensor_array);
    }
    if (!value || (PyObject *)Py_TYPE(value) != self->array) return NULL;
    const array_object *array = (const array_object *)(void *)value;
    return array->dtype == self->dtype && (array->flags & USABLE) == USABLE ? array : NULL;
}

/* n, if x is (n,inputs) and targ (n,outputs), or (n,) where outputs is 1; else 0. */
static Py_ssize_t rows_of(const prepared *self, const array_object *x, const array_object *targ) {
    if (x->axes != 2 || x->shape[1] != self->inputs || x->shape[0] > self->most) return 0;
    int is_column = targ->axes == 1 && self->outputs == 1;
    if (!is_column && (targ->axes != 2 || targ->shape[1] != self->outputs)) return 0;
    return targ->shape[0] == x->shape[0] ? x->shape[0] : 0;
}

/* ---- a call ---- */

/* Whether everything is as it was when this was prepared. */
static int is_unchanged(const prepared *self, PyObject *x) {
    for (Py_ssize_t k = 0, count = PyTuple_Size(self->refused); k < count; k++)
        if (PyTuple_GetItem(self->refused, k) == x) return 0;
    return is_same(&self->watched);
}

#define STEP(REAL) ((bp_status(*)(const bp_plan *, REAL *, const REAL *, const REAL *, size_t, double, double))
#define GRADS(REAL) ((bp_status(*)(const bp_plan *, REAL *, const REAL *, const REAL *, size_t, REAL *, int))
#define CALL(REAL)                                                                                      \
    do {                                                                                                \
        REAL result = 0;                                                                                \
        const REAL *data = (const REAL *)(void *)x->data, *goal = (const REAL *)(void *)targ->data;     \
        status = self->is_step                                                                          \
                     ? STEP(REAL) self->function)(self->plan, &result, data, goal, n, first, second)    \
                     : GRADS(REAL) self->function)(self->plan, &result, data, goal, n, NULL, adds);     \
        loss = result;                                                                                  \
    } while (0)

static PyObject *result_of(const prepared *self, const array_object *x, const array_object *targ,
                           size_t n, double first, double second, int adds) {
    double loss = 0;
    int status;
    if (self->is_double)
        CALL(double);
    else
        CALL(float);
    if (status == BP_OK) return PyFloat_FromDouble(loss);
    PyObject *raised = PyObject_CallFunction(self->check, "i", status);
    Py_XDECREF(raised);
    if (raised) PyErr_SetString(PyExc_RuntimeError, "the C core returned a status that means no error");
    return NULL;
}

PyDoc_STRVAR(
    RUN,
    "run(x, targ, lr, momentum) of a step, run(x, targ, accumulate) of gradients: the loss; None, with "
    "nothing done, if anything differs from what was prepared.");

static PyObject *run(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    const prepared *self = (const prepared *)(void *)object;
    double lr = 0, momentum = 0;
    if (count != (self->is_step ? 4 : 3) || !self->kept) Py_RETURN_NONE;
    if (self->is_step) {
        if (!PyFloat_CheckExact(given[2]) || !PyFloat_CheckExact(given[3])) Py_RETURN_NONE;
        lr = PyFloat_AsDouble(given[2]), momentum = PyFloat_AsDouble(given[3]);
        if ((momentum != 0) != self->moves) Py_RETURN_NONE;
    } else if (given[2] != Py_True && given[2] != Py_False)
        Py_RETURN_NONE;
    if (!is_unchanged(self, given[0])) Py_RETURN_NONE;
    const array_object *x = usable(self, given[0]), *targ = usable(self, given[1]);
    Py_ssize_t n = x && targ ? rows_of(self, x, targ) : 0;
    if (n == 0) Py_RETURN_NONE;
    if (touch(&self->versions, self->is_step ? self->operation : NULL) < 0) return NULL;
    return result_of(self, x, targ, (size_t)n, lr, momentum, given[2] == Py_True);
}

/* ---- preparing ---- */

PyDoc_STRVAR(PREPARE, "Prepared(function, plan, is_step, is_double, moves, (most, inputs, outputs), "
                      "(tensor type, array type, "
                      "dtype), (probe, its address), watched, refused, versions, operation, check, "
                      "kept). watched: a tuple of "
                      "(object, name, expected). Raises TypeError for what cannot be read directly.");

/* Finds the slots of tensors, and whether arrays can be read; -1 with an exception if not. */
static int learn(prepared *self, PyObject *probe, unsigned long long address) {
    if (PyType_Check(self->tensor)) {
        PyTypeObject *tensor = (PyTypeObject *)(void *)self->tensor;
        self->tensor_array = offset_of(tensor, "_array");
        self->tensor_node = offset_of(tensor, "_node");
        self->tensor_requires_g = offset_of(tensor, "requires_g");
        int known = self->tensor_array > 0 && self->tensor_node > 0 && self->tensor_requires_g > 0;
        if (known && (PyObject *)Py_TYPE(probe) == self->array &&
            knows_arrays(probe, self->dtype, address))
            return 0;
    }
    PyErr_SetString(PyExc_TypeError, "tensors or arrays are laid out in an unknown way");
    return -1;
}

static PyObject *prepare(PyTypeObject *type, PyObject *given, PyObject *names) {
    unsigned long long function, plan, address;
    PyObject *probe, *watched, *versions, *kept;
    prepared p = {
        0}; /* borrows; the object itself owns from its first moment, for the garbage collector */
    (void)names;
    if (!PyArg_ParseTuple(given, "KKppp(nnn)(OOO)(OK)O!O!O!UOO", &function, &plan, &p.is_step,
                          &p.is_double, &p.moves, &p.most, &p.inputs, &p.outputs, &p.tensor, &p.array,
                          &p.dtype, &probe, &address, &PyTuple_Type, &watched, &PyTuple_Type, &p.refused,
                          &PyTuple_Type, &versions, &p.operation, &p.check, &kept))
        return NULL;
    prepared *self = (prepared *)(void *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    self->function = (void (*)(void))(uintptr_t)function;
    self->plan = (void *)(uintptr_t)plan;
    self->is_step = p.is_step, self->is_double = p.is_double, self->moves = p.moves;
    self->most = p.most, self->inputs = p.inputs, self->outputs = p.outputs;
    self->tensor = Py_NewRef(p.tensor), self->array = Py_NewRef(p.array),
    self->dtype = Py_NewRef(p.dtype);
    self->refused = Py_NewRef(p.refused), self->operation = Py_NewRef(p.operation);
    self->check = Py_NewRef(p.check),
    self->kept = Py_NewRef(given); /* so that every pointer stays good */
    if (learn(self, probe, address) == 0 && watch(&self->watched, watched) == 0 &&
        watch_versions(&self->versions, versions, self->is_step) == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int visit_all(PyObject *object, visitproc visit, void *arg) {
    const prepared *self = (const prepared *)(void *)object;
    Py_VISIT((PyObject *)Py_TYPE(object));
    Py_VISIT(self->kept);
    Py_VISIT(self->refused);
    Py_VISIT(self->check);
    return 0;
}

/* Without `kept`, run does nothing. */
static int clear(PyObject *object) {
    prepared *self = (prepared *)(void *)object;
    self->versions.count = 0;
    Py_CLEAR(self->kept);
    Py_CLEAR(self->refused);
    Py_CLEAR(self->check);
    return 0;
}

static void release(PyObject *object) {
    prepared *self = (prepared *)(void *)object;
    PyObject_GC_UnTrack(object);
    clear(object);
    Py_CLEAR(self->tensor);
    Py_CLEAR(self->array);
    Py_CLEAR(self->dtype);
    Py_CLEAR(self->operation);
    unwatch(&self->watched);
    PyMem_Free(self->versions.at);
    free_object(object);
}

static PyMethodDef methods[] = {{"run", (PyCFunction)(void *)run, METH_FASTCALL, RUN}, {0}};
BP_TYPE("Prepared", prepared, PREPARE);

static int fill(PyObject *module) {
    int status = add_type(module, &spec, "Prepared");
    if (status == 0) status = bp_add_eager(module);
    if (status == 0) status = bp_add_watch(module);
    if (status == 0) status = bp_add_passes(module);
    return status == 0 ? bp_add_writer(module) : status;
}

static PyModuleDef_Slot steps[] = {{Py_mod_exec, (void *)fill}, {0}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_call", "Short calls of the C core.", 0, NULL, steps, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__call(void) { return PyModuleDef_Init(&definition); }
