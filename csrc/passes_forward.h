/* passes_forward.h: the forward among the short calls of passes.c. */
#ifndef BP_PASSES_FORWARD_H
#define BP_PASSES_FORWARD_H

#include "passes.h"

/* ---- checks ---- */

/* Whether a Model computes as it did, and this thread records it. */
static inline int is_as_before(const passes *self, PyObject *const *given) {
    PyObject *model = given[1], *layers = given[2];
    if (given[3] != self->loss || given[4] != self->inplace || !is_made_of(layers, self->items))
        return 0;
    PyObject *attributes = PyObject_GenericGetDict(model, NULL);
    int is_plain = attributes && PyDict_Contains(attributes, self->names[FORWARD]) == 0;
    Py_XDECREF(attributes);
    PyObject *recording = is_plain && is_same(&self->watched)
                              ? PyObject_GetAttr(self->tape_switch, self->names[RECORDING])
                              : NULL;
    Py_XDECREF(recording);
    PyErr_Clear(); /* the usual way meets the same error */
    return recording == Py_True;
}

/* The workspace of the last pass, if its backward has run; NULL if it is not the one that is known. */
static inline PyObject *free_space(const passes *self, PyObject *shortcut) {
    PyObject *last = is_own(self, shortcut, SHORTCUT) ? *own(self, SHORTCUT, shortcut, LAST) : NULL;
    if (!is_own(self, last, PASS) || *own(self, PASS, last, DONE) != Py_True) return NULL;
    PyObject *space = *own(self, PASS, last, WORKSPACE);
    if (!is_own(self, space, SPACE) || *own(self, SPACE, space, LAYERS) != self->layers) return NULL;
    if (!is_own(self, *own(self, SPACE, space, DATA), HELD)) return NULL;
    if (!is_own(self, *own(self, SPACE, space, TARGETS), HELD)) return NULL;
    return *own(self, SPACE, space, SMALL) == Py_True ? space : NULL;
}

/* What C reads of x or targ. */
typedef struct {
    PyObject *given, *array, *version, *pin; /* pin: owned */
} data;

/* Whether C can read a value directly, of these lengths, and no gradient of it is wanted. */
static inline int take(const passes *self, PyObject *given, const Py_ssize_t *lengths, Py_ssize_t axes,
                       data *to) {
    const classes *all = &self->all;
    int is_tensor = is_a(all, given, TENSOR);
    if (is_tensor && of_tensor(all, given, REQUIRES_G) != Py_False) return 0;
    const array_object *array = is_tensor ? values_of(all, given) : usable_array(all, given);
    if (!array || array->dtype != (self->is_double ? all->float64 : all->float32) || array->axes != axes)
        return 0;
    for (Py_ssize_t k = 0; k < axes; k++)
        if (array->shape[k] != lengths[k]) return 0;
    to->given = given, to->array = (PyObject *)(void *)array;
    to->version = is_tensor ? count_of(all, given) : all->zero;
    return (to->pin = pin(all, array)) != NULL;
}

static inline int take_both(const passes *self, PyObject *space, PyObject *const *given, data *to) {
    PyObject *shapes = *own(self, SPACE, space, SHAPES);
    Py_ssize_t n = PyLong_AsSsize_t(*own(self, SPACE, space, ROWS));
    if (n < 1 || !PyTuple_Check(shapes) || PyTuple_Size(shapes) != 2) return 0;
    Py_ssize_t axes = PyTuple_Size(PyTuple_GetItem(shapes, 1)); /* (n,) or (n,h) */
    if (axes < 1 || axes > 2) return 0;
    return take(self, given[5], (Py_ssize_t[]){n, self->inputs}, 2, to) &&
           take(self, given[6], (Py_ssize_t[]){n, self->outputs}, axes, to + 1);
}

/* The versions of the inner weights; NULL if one is no plain counter. */
static inline PyObject *versions_of(const passes *self) {
    Py_ssize_t count = PyTuple_Size(self->inner);
    PyObject *versions = PyList_New(count);
    for (Py_ssize_t k = 0; versions && k < count; k++) {
        PyObject *w = PyTuple_GetItem(self->inner, k);
        int is_known = version_of(&self->all, w) != NULL;
        if (!is_known || PyList_SetItem(versions, k, Py_NewRef(count_of(&self->all, w))) < 0)
            Py_CLEAR(versions);
    }
    return versions;
}

/* ---- results ---- */

/* What a pass makes; all owned. */
typedef struct {
    PyObject *array, *pass, *loss, *versions, *call, *loss_call;
} made;

static inline int make_all(const passes *self, PyObject *space, made *m) {
    PyObject *values[] = {Py_False, space, Py_None};
    m->array = PyObject_CallFunctionObjArgs(
        self->empty, self->all.nothing, self->is_double ? self->all.float64 : self->all.float32, NULL);
    m->pass = m->array ? PyType_GenericAlloc(self->class[PASS], 0) : NULL;
    for (int slot = 0; m->pass && SLOTS[PASS][slot]; slot++)
        set(own(self, PASS, m->pass, slot), Py_NewRef(values[slot]));
    m->loss = m->pass ? tensor_of(&self->all, m->array, NULL, Py_None, m->pass) : NULL;
    m->versions = m->loss ? versions_of(self) : NULL;
    m->call = m->versions ? PyTuple_Pack(2, m->pass, Py_None) : NULL;
    m->loss_call = m->call ? PyTuple_Pack(2, m->pass, m->loss) : NULL;
    return m->loss_call != NULL;
}

static inline bp_status run(const passes *self, void *loss, const data *d, PyObject *space) {
    void *x = ((array_object *)(void *)d[0].array)->data,
         *targ = ((array_object *)(void *)d[1].array)->data;
    size_t n = PyLong_AsSize_t(*own(self, SPACE, space, ROWS));
    return self->is_double
               ? ((__typeof__(bp_chain_forward_f64) *)self->function)(loss, self->described, self->count,
                                                                      x, targ, n)
               : ((__typeof__(bp_chain_forward_f32) *)self->function)(loss, self->described, self->count,
                                                                      x, targ, n);
}

/* Puts a new reference into a slot, and the old one where it is dropped later: that may run Python code.
 */
static inline void exchange(PyObject **at, PyObject *value, PyObject ***dropped) {
    *(*dropped)++ = *at;
    *at = Py_NewRef(value);
}

/* See Held.hold. */
static inline void hold_data(const passes *self, PyObject *held, const data *d, PyObject ***dropped) {
    PyObject *values[] = {d->given, d->array, Py_None, d->version, d->pin};
    for (int slot = 0; SLOTS[HELD][slot]; slot++)
        exchange(own(self, HELD, held, slot), values[slot], dropped);
}

/* Sets what the layers and the loss know of their last call. */
static inline int tell_layers(const passes *self, const made *m) {
    int status = 0;
    for (Py_ssize_t k = 0, count = PyTuple_Size(self->items); k <= count && status == 0; k++) {
        PyObject *layer = k < count ? PyTuple_GetItem(self->items, k) : self->loss;
        PyObject *attributes = PyObject_GenericGetDict(layer, NULL),
                 *call = k < count ? m->call : m->loss_call;
        status = attributes ? PyDict_SetItem(attributes, self->names[LAST_CALL], call) : -1;
        Py_XDECREF(attributes);
    }
    return status;
}

/* Hands the workspace over from the last pass to the new one. */
static inline int take_over(const passes *self, PyObject *shortcut, PyObject *space, const made *m,
                            const data *d) {
    enum { MOST = 2 * 5 + 4 };
    PyObject *dropped[MOST], **end = dropped, **last = own(self, SHORTCUT, shortcut, LAST);
    hold_data(self, *own(self, SPACE, space, DATA), d, &end);
    hold_data(self, *own(self, SPACE, space, TARGETS), d + 1, &end);
    exchange(own(self, SPACE, space, READ_VERSIONS), m->versions, &end);
    exchange(own(self, SPACE, space, SPENT), Py_False, &end);
    exchange(own(self, PASS, *last, WORKSPACE), Py_None, &end);
    exchange(last, m->pass, &end);
    int status = tell_layers(self, m);
    while (end > dropped) Py_XDECREF(*--end);
    return status;
}

static inline PyObject *compute(const passes *self, PyObject *shortcut, PyObject *space, const data *d) {
    made m = {0};
    PyObject *loss = NULL;
    if (make_all(self, space, &m) &&
        run(self, ((array_object *)(void *)m.array)->data, d, space) == BP_OK &&
        take_over(self, shortcut, space, &m, d) == 0)
        loss = Py_NewRef(m.loss);
    PyObject *owned[] = {m.array, m.pass, m.loss, m.versions, m.call, m.loss_call};
    for (size_t k = 0; k < sizeof owned / sizeof *owned; k++) Py_XDECREF(owned[k]);
    return loss;
}

/* given: the Shortcut, its Model, the Model's layers, loss and inplace, x, targ */
static inline PyObject *forward(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    const passes *self = (const passes *)(void *)object;
    if (count != 7 || !self->kept || !is_usual(&self->usual)) Py_RETURN_NONE;
    if (!free_space(self, given[0]) || !is_as_before(self, given)) Py_RETURN_NONE;
    PyObject *space = free_space(self, given[0]),
             *loss = NULL; /* again, as reading attributes may run Python code */
    if (!space) Py_RETURN_NONE;
    int collects = PyGC_Disable();
    data d[2] = {{0}};
    Py_INCREF(space);
    if (take_both(self, space, given, d)) loss = compute(self, given[0], space, d);
    if (collects) PyGC_Enable();
    Py_XDECREF(d[0].pin);
    Py_XDECREF(d[1].pin);
    Py_DECREF(space);
    if (loss || PyErr_Occurred()) return loss;
    Py_RETURN_NONE;
}

#endif
