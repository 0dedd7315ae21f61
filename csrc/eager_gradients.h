/* eager_gradients.h: the gradient functions among the short calls of eager.c. */
#ifndef BP_EAGER_GRADIENTS_H
#define BP_EAGER_GRADIENTS_H

#include "eager.h"

/* Whether the values that a result on the tape was computed from are still there: see Node.check_values.
 */
static inline int is_fresh(const eager *self, PyObject *node) {
    const classes *all = &self->all;
    if (!is_a(all, node, TAPE_NODE) || *part(all, TAPE_NODE, node, CHECKSUMS) != Py_None) return 0;
    PyObject *op = *part(all, TAPE_NODE, node, OP), *pairs = *part(all, TAPE_NODE, node, SAVED);
    PyObject *inplace = Py_TYPE(op) == Py_TYPE(self->op) ? PyObject_GetAttr(op, self->inplace) : NULL;
    Py_XDECREF(inplace);
    if (inplace != Py_False || !PyList_Check(pairs)) return 0;
    for (Py_ssize_t k = 0; k < PyList_Size(pairs); k++) {
        PyObject *pair = PyList_GetItem(pairs, k), *tensor = PyTuple_GetItem(pair, 0);
        if (!is_a(all, tensor, TENSOR) || !version_of(all, tensor)) return 0;
        if (!equal(PyTuple_GetItem(pair, 1), count_of(all, tensor))) return 0;
    }
    return 1;
}

/* The array of out.g, if that is a gradient of what out is now: see upstream_of in ops/checks.py. */
static inline const array_object *upstream_of(const eager *self, PyObject *out) {
    const classes *all = &self->all;
    const array_object *array = values_of(all, out);
    PyObject *g = array ? of_tensor(all, out, G) : Py_None;
    const array_object *dout = g != Py_None ? values_of(all, g) : NULL;
    if (!dout || !owner_of(all, dout) || Py_TYPE(version_of(all, g)) == all->foreign ||
        !same_shape(dout, array))
        return NULL;
    PyObject *place = of_tensor(all, out, PLACE), *node = of_tensor(all, out, NODE);
    if (place != Py_None) {
        if (!is_a(all, place, GRADIENT_PLACE)) return NULL;
        int is_known = equal(*part(all, GRADIENT_PLACE, place, WRITES), count_of(all, g));
        if (is_known && !equal(*part(all, GRADIENT_PLACE, place, VALUES), count_of(all, out)))
            return NULL;
    }
    return node == Py_None || is_fresh(self, node) ? dout : NULL;
}

/* Whether a tensor's `.g` can be written here. */
static inline int takes_gradient(const eager *self, PyObject *tensor) {
    const classes *all = &self->all;
    const array_object *array = values_of(all, tensor), *gradient;
    PyObject *g = of_tensor(all, tensor, G), *place = of_tensor(all, tensor, PLACE);
    if (place != Py_None && !is_a(all, place, GRADIENT_PLACE)) return 0;
    if (g == Py_None) return is_small(self, array->axes, array->shape, array->dtype == all->float64);
    gradient = values_of(all, g);
    if (!gradient || !owner_of(all, gradient)) return 0;
    return gradient->dtype == array->dtype && same_shape(gradient, array);
}

/* See Tensor.grad_buffer. A borrowed reference. */
static inline PyObject *gradient_of(const eager *self, PyObject *tensor) {
    const classes *all = &self->all;
    PyObject **g = part(all, TENSOR, tensor, G);
    if (*g != Py_None) return *g;
    const array_object *like = values_of(all, tensor);
    PyObject *array = empty(self, like->axes, like->shape, like->dtype == all->float64);
    PyObject *made = array ? wrap(all, array, all->gradient) : NULL;
    Py_XDECREF(array);
    if (made) set(g, made);
    return made;
}

/* See Tensor.write_g: where the gradient goes; NULL with an exception. */
static inline void *write_g(const eager *self, PyObject *tensor) {
    const classes *all = &self->all;
    PyObject *g = gradient_of(self, tensor), **place = part(all, TENSOR, tensor, PLACE);
    PyObject *version = g ? version_of(all, g) : NULL;
    PyObject *count = version ? one_more(count_of(all, g)) : NULL;
    if (!count) return NULL;
    set(part(all, COUNTER, version, COUNT), count);
    set(part(all, COUNTER, version, BY), Py_NewRef(self->grad_name));
    PyObject *values[] = {count_of(all, tensor), count, Py_False, all->no_text};
    if (*place != Py_None)
        fill(all, GRADIENT_PLACE, *place, values);
    else {
        PyObject *made = make(all, GRADIENT_PLACE, NULL, values);
        if (!made) return NULL;
        set(place, made);
    }
    return data_of(of_tensor(all, g, ARRAY));
}

/* Holds the tensors that are read; gradients are held from the beginning. */
static inline int hold_all(const eager *self, PyObject *const *read, Py_ssize_t count) {
    for (Py_ssize_t k = 0; k < count; k++)
        if (is_a(&self->all, read[k], TENSOR) && hold(&self->all, read[k]) < 0) return -1;
    return 0;
}

static inline int is_own(const eager *self, PyObject *tensor) {
    return Py_TYPE(version_of(&self->all, tensor)) == self->all.class[COUNTER];
}

/* given: inp, out, w, b or None */
static inline PyObject *lin_grad(const eager *self, PyObject *const *given, Py_ssize_t count) {
    if (count != 4) return NULL;
    PyObject *x = given[0], *out = given[1], *w = given[2], *b = given[3], *read[] = {x, w, b};
    operands in;
    product p;
    if (!read_all(self, read, b == Py_None ? 2 : 3, 0, &in) || !is_product(self, &in, &p)) return NULL;
    if (out == x || out == w || x == w) return NULL; /* b has another number of axes */
    const array_object *dout = upstream_of(self, out);
    if (!dout || dout->dtype != in.array[0]->dtype || dout->axes != 2) return NULL;
    if (dout->shape[0] != in.array[0]->shape[0] || dout->shape[1] != in.array[1]->shape[1]) return NULL;
    if (!is_own(self, x) || !is_own(self, w))
        return NULL; /* or it might overlap a gradient: refuse_lost */
    for (Py_ssize_t k = 0; k < in.count; k++)
        if (!takes_gradient(self, read[k])) return NULL;
    if (hold_all(self, read, 2) < 0) return NULL;
    void *dx = write_g(self, x), *dw = dx ? write_g(self, w) : NULL, *db = NULL, *upstream = dout->data;
    if (!dw || (in.count == 3 && !(db = write_g(self, b)))) return NULL;
    int d = in.is_double;
    bp_status status = CALL(self, d, bp_linear_backward_x, dx, upstream, at(&in, 1), p.n, p.m, p.h, 0);
    if (status == BP_OK)
        status =
            db ? CALL(self, d, bp_linear_backward_wb, dw, db, at(&in, 0), upstream, p.n, p.m, p.h, 0)
               : CALL(self, d, bp_linear_backward_w, dw, at(&in, 0), upstream, p.n, p.m, p.h, 0);
    return status == BP_OK ? Py_NewRef(Py_True) : NULL;
}

/* given: inp, out */
static inline PyObject *relu_grad(const eager *self, PyObject *const *given, Py_ssize_t count) {
    operands in;
    if (count != 2 || given[0] == given[1] || !read_all(self, given, 1, 0, &in)) return NULL;
    const array_object *dout = upstream_of(self, given[1]);
    double size = size_of(in.array[0]);
    if (!dout || dout->dtype != in.array[0]->dtype || !same_shape(in.array[0], dout)) return NULL;
    if (size > self->most_work || !takes_gradient(self, given[0])) return NULL;
    if (hold_all(self, given, 1) < 0) return NULL;
    void *dx = write_g(self, given[0]), *upstream = dout->data;
    if (!dx) return NULL;
    CALL(self, in.is_double, bp_relu_backward, dx, at(&in, 0), upstream, (size_t)size);
    return Py_NewRef(Py_True);
}

/* given: out, targ */
static inline PyObject *mse_grad(const eager *self, PyObject *const *given, Py_ssize_t count) {
    operands in;
    product p;
    if (count != 2 || given[0] == given[1] || !is_a(&self->all, given[0], TENSOR)) return NULL;
    if (!read_all(self, given, 2, 1, &in) || !is_compared(self, &in, &p)) return NULL;
    if (wants_gradient(self, given[1]) || !takes_gradient(self, given[0])) return NULL;
    if (is_a(&self->all, given[1], TENSOR) && of_tensor(&self->all, given[1], G) != Py_None) return NULL;
    if (hold_all(self, given, 2) < 0) return NULL;
    void *dout = write_g(self, given[0]);
    if (!dout) return NULL;
    CALL(self, in.is_double, bp_mse_backward, dout, at(&in, 0), at(&in, 1), p.m);
    return Py_NewRef(Py_True);
}

#endif
