/* eager.h: what the short calls of eager.c share: checks of operands, results, their place on the tape.
 */
#ifndef BP_EAGER_H
#define BP_EAGER_H

#include "tensors.h"

/* The functions of the core, with the suffixes _f32 and _f64. */
/* clang-format off */
#define FUNCTIONS(X)                                                    \
    X(bp_linear_forward)                                                \
    X(bp_linear_backward_x)                                             \
    X(bp_linear_backward_w)                                             \
    X(bp_linear_backward_wb)                                            \
    X(bp_relu_forward)                                                  \
    X(bp_relu_backward)                                                 \
    X(bp_mse_forward)                                                   \
    X(bp_mse_backward)
/* clang-format on */
#define INDEX(NAME) at_##NAME,
#define TEXT(NAME) #NAME,
enum { FUNCTIONS(INDEX) FUNCTION_COUNT };
static const char *const FUNCTION_NAMES[] = {FUNCTIONS(TEXT)};

/* A call of a function of the core for the operands' dtype. */
#define CALL(SELF, IS_DOUBLE, NAME, ...)                                                                \
    ((IS_DOUBLE) ? ((__typeof__(NAME##_f64) *)(SELF)->functions[at_##NAME][1])(__VA_ARGS__)             \
                 : ((__typeof__(NAME##_f32) *)(SELF)->functions[at_##NAME][0])(__VA_ARGS__))

typedef struct {
    PyObject_HEAD classes all;
    void (*functions[FUNCTION_COUNT][2])(void);
    double most_bytes, most_work; /* of a result that numpy allocates; of a call */
    long most_depth;              /* of origins */
    PyObject *op, *grad_name;     /* the operation's record; the name of its gradient function */
    usual usual;
    PyObject *tape;                         /* whether this thread records */
    PyObject *empty, *no_params;            /* np.empty; the further arguments of an operation */
    PyObject *recording, *inplace, *forget; /* names */
    PyObject *kept;                         /* owns all that is borrowed above */
} eager;

typedef struct {
    const array_object *array[3];
    Py_ssize_t count;
    int is_double;
} operands;

typedef struct {
    size_t n, m, h;
} product;

/* ---- checks ---- */

/* Reads operands: tensors, or where `arrays` numpy's arrays too. */
static inline int read_all(const eager *self, PyObject *const *given, Py_ssize_t count, int arrays,
                           operands *in) {
    for (in->count = 0; in->count < count; in->count++) {
        PyObject *value = given[in->count];
        const array_object *array = values_of(&self->all, value);
        if (!array && arrays) array = usable_array(&self->all, value);
        if (!array || !owner_of(&self->all, array) || (in->count && array->dtype != in->array[0]->dtype))
            return 0;
        in->array[in->count] = array;
    }
    in->is_double = in->array[0]->dtype == self->all.float64;
    return 1;
}

/* x (n,m) @ w (m,h) + b (h), small enough. */
static inline int is_product(const eager *self, const operands *in, product *p) {
    const array_object *x = in->array[0], *w = in->array[1];
    if (x->axes != 2 || w->axes != 2 || x->shape[1] != w->shape[0]) return 0;
    p->n = (size_t)x->shape[0], p->m = (size_t)x->shape[1], p->h = (size_t)w->shape[1];
    if (in->count == 3 && (in->array[2]->axes != 1 || in->array[2]->shape[0] != w->shape[1])) return 0;
    return (double)p->n * (double)p->m * (double)p->h <= self->most_work;
}

/* out and targ of one shape, or (n,1) and (n,), with elements, small enough. h: columns. */
static inline int is_compared(const eager *self, const operands *in, product *p) {
    const array_object *out = in->array[0], *targ = in->array[1];
    int is_column =
        out->axes == 2 && targ->axes == 1 && out->shape[1] == 1 && out->shape[0] == targ->shape[0];
    double size = size_of(out);
    if ((!is_column && !same_shape(out, targ)) || size == 0 || size > self->most_work) return 0;
    p->n = out->axes ? (size_t)out->shape[0] : 1, p->m = (size_t)size, p->h = p->m / p->n;
    return 1;
}

/* Whether a result of this shape is allocated by numpy: see aligned_empty. */
static inline int is_small(const eager *self, int axes, const Py_ssize_t *shape, int is_double) {
    double bytes = is_double ? sizeof(double) : sizeof(float);
    for (int k = 0; k < axes; k++) bytes *= shape[k] > 1 ? (double)shape[k] : 1;
    return bytes < self->most_bytes;
}

/* ---- results ---- */

static inline PyObject *empty(const eager *self, int axes, const Py_ssize_t *shape, int is_double) {
    PyObject *lengths = PyTuple_New(axes);
    for (int k = 0; lengths && k < axes; k++) {
        PyObject *length = PyLong_FromSsize_t(shape[k]);
        if (!length || PyTuple_SetItem(lengths, k, length) < 0) Py_CLEAR(lengths);
    }
    PyObject *dtype = is_double ? self->all.float64 : self->all.float32;
    PyObject *array = lengths ? PyObject_CallFunctionObjArgs(self->empty, lengths, dtype, NULL) : NULL;
    Py_XDECREF(lengths);
    return array;
}

/* The operands as tensors. */
static inline PyObject *tensors_of(const eager *self, PyObject *const *given, Py_ssize_t count) {
    PyObject *tensors = PyTuple_New(count);
    for (Py_ssize_t k = 0; tensors && k < count; k++) {
        int is_tensor = is_a(&self->all, given[k], TENSOR);
        PyObject *tensor =
            is_tensor ? Py_NewRef(given[k]) : wrap(&self->all, given[k], self->all.foreign);
        if (!tensor || (is_tensor && hold(&self->all, tensor) < 0)) Py_CLEAR(tensor);
        if (!tensor || PyTuple_SetItem(tensors, k, tensor) < 0) Py_CLEAR(tensors);
    }
    return tensors;
}

/* See Node. saved: bit k is set if backward reads operand k. */
static inline PyObject *node_of(const eager *self, PyObject *inputs, unsigned saved) {
    const classes *all = &self->all;
    Py_ssize_t count = PyTuple_Size(inputs);
    PyObject *origins = PyList_New(count), *pairs = PyList_New(0), *node = NULL;
    for (Py_ssize_t k = 0; origins && pairs && k < count; k++) {
        PyObject *tensor = PyTuple_GetItem(inputs, k), *pair = NULL;
        if (PyList_SetItem(origins, k, Py_NewRef(of_tensor(all, tensor, NODE))) < 0) goto done;
        if (!(saved >> k & 1)) continue;
        pair = PyTuple_Pack(2, tensor, count_of(all, tensor));
        int failed = !pair || PyList_Append(pairs, pair) < 0;
        Py_XDECREF(pair);
        if (failed) goto done;
    }
    if (origins && pairs) {
        PyObject *values[] = {self->op, inputs, self->no_params, origins, pairs, Py_None};
        node = make(all, TAPE_NODE, NULL, values);
    }
done:
    Py_XDECREF(origins);
    Py_XDECREF(pairs);
    return node;
}

/* See Operand; depth: of what is known of the result, so far. */
static inline PyObject *operand_of(const classes *all, PyObject *tensor, long *depth) {
    PyObject *origin = of_tensor(all, tensor, ORIGIN),
             *values[] = {NULL, Py_None, count_of(all, tensor), origin};
    PyObject *operand = NULL, *array = NULL;
    if (origin == Py_None)
        values[READ_ARRAY] = array = PyWeakref_NewRef(of_tensor(all, tensor, ARRAY), NULL);
    else {
        long deeper = PyLong_AsLong(*part(all, OFF_TAPE, origin, DEPTH)) + 1;
        if (deeper > *depth) *depth = deeper;
    }
    values[READ] = PyWeakref_NewRef(tensor, NULL);
    if (values[READ] && values[READ_ARRAY]) operand = make(all, READ_OPERAND, NULL, values);
    Py_XDECREF(values[READ]);
    Py_XDECREF(array);
    return operand;
}

/* See Origin. */
static inline PyObject *origin_of(const eager *self, PyObject *inputs) {
    const classes *all = &self->all;
    Py_ssize_t count = PyTuple_Size(inputs);
    long depth = 1;
    PyObject *operands = PyList_New(count), *deep = NULL, *origin = NULL;
    for (Py_ssize_t k = 0; operands && k < count; k++) {
        PyObject *operand = operand_of(all, PyTuple_GetItem(inputs, k), &depth);
        if (!operand || PyList_SetItem(operands, k, operand) < 0) Py_CLEAR(operands);
    }
    if (operands && (deep = PyLong_FromLong(depth))) {
        PyObject *values[] = {self->op, self->no_params, operands, all->zero, deep};
        origin = make(all, OFF_TAPE, NULL, values);
    }
    if (origin && depth > self->most_depth) {
        PyObject *forgotten = PyObject_CallMethodObjArgs(origin, self->forget, NULL);
        if (!forgotten) Py_CLEAR(origin);
        Py_XDECREF(forgotten);
    }
    Py_XDECREF(operands);
    Py_XDECREF(deep);
    return origin;
}

/* See tape.record. -1 with an exception. */
static inline int record(const eager *self, PyObject *out, PyObject *inputs, unsigned saved) {
    const classes *all = &self->all;
    PyObject *recording = PyObject_GetAttr(self->tape, self->recording);
    int is_off = recording == Py_False, on_tape = 0;
    Py_XDECREF(recording);
    if (!recording) return -1;
    if (is_off) return 0;
    for (Py_ssize_t k = 0; k < PyTuple_Size(inputs); k++)
        on_tape |= of_tensor(all, PyTuple_GetItem(inputs, k), REQUIRES_G) == Py_True;
    PyObject *from = on_tape ? node_of(self, inputs, saved) : origin_of(self, inputs);
    if (!from) return -1;
    set(part(all, TENSOR, out, on_tape ? NODE : ORIGIN), from);
    if (on_tape) set(part(all, TENSOR, out, REQUIRES_G), Py_NewRef(Py_True));
    return 0;
}

/* The tensor around a result that was computed; steals array. After an error of the core, nothing. */
static inline PyObject *result_of(const eager *self, PyObject *array, bp_status status,
                                  PyObject *const *given, Py_ssize_t count, unsigned saved) {
    PyObject *out = status == BP_OK ? wrap(&self->all, array, NULL) : NULL;
    PyObject *inputs = out ? tensors_of(self, given, count) : NULL;
    Py_DECREF(array);
    if (!inputs || record(self, out, inputs, saved) < 0) Py_CLEAR(out);
    Py_XDECREF(inputs);
    return out;
}

static inline void *data_of(PyObject *array) { return ((array_object *)(void *)array)->data; }

static inline void *at(const operands *in, int k) { return in->array[k]->data; }

static inline int wants_gradient(const eager *self, PyObject *value) {
    return is_a(&self->all, value, TENSOR) && of_tensor(&self->all, value, REQUIRES_G) == Py_True;
}

#endif
