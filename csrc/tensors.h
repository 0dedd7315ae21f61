/* tensors.h: a Tensor and what belongs to it, read and made without running Python code.

   The classes are those of pybackprop/autograd; all their attributes are slots. What is read here is
   what the class itself would give; everything that is not exactly as expected is left to the usual way.
 */
#ifndef BP_TENSORS_H
#define BP_TENSORS_H

#include "objects.h"

/* The slots of each class, in the order of NAMES. */
enum { ARRAY, G, PLACE, MATRIX, NAME, NODE, ORIGIN, PIN, POINTER, VERSION, REQUIRES_G };
enum { COUNT, BY, LOG };
enum { VALUES, WRITES, THROUGH, GONE };
enum { OP, INPUTS, PARAMS, ORIGINS, SAVED, CHECKSUMS };
enum { FROM_OP, FROM_PARAMS, FROM, FROM_COUNT, DEPTH };
enum { READ, READ_ARRAY, READ_COUNT, READ_ORIGIN };
enum { TENSOR, COUNTER, GRADIENT_PLACE, TAPE_NODE, OFF_TAPE, READ_OPERAND, CLASSES, MOST_SLOTS = 11 };

static const char *const NAMES[CLASSES][MOST_SLOTS + 1] = {
    {"_array", "_g", "_g_place", "_matrix", "_name", "_node", "_origin", "_pin", "_pointer", "_version",
     "requires_g", 0},
    {"count", "by", "log", 0},
    {"values", "writes", "through", "gone", 0},
    {"op", "inputs", "params", "origins", "saved", "checksums", 0},
    {"op", "params", "operands", "count", "depth", 0},
    {"tensor", "array", "count", "origin", 0},
};

typedef struct {
    PyTypeObject *class[CLASSES];
    Py_ssize_t at[CLASSES][MOST_SLOTS];
    PyTypeObject *foreign, *gradient, *array; /* the other classes of counters; numpy's arrays */
    PyObject *float32, *float64, *zero, *nothing, *no_text;
} classes;

/* given: (Tensor, Version, GradientPlace, Node, Origin, Operand). Whether all slots were found. */
static inline int find_slots(classes *all, PyObject *given) {
    for (int k = 0; k < CLASSES; k++) {
        PyObject *class = PyTuple_GetItem(given, k);
        if (!class || !PyType_Check(class)) return 0;
        all->class[k] = (PyTypeObject *)(void *)class;
        for (int slot = 0; NAMES[k][slot]; slot++)
            if ((all->at[k][slot] = offset_of(all->class[k], NAMES[k][slot])) <= 0) return 0;
    }
    return 1;
}

/* ---- reading ---- */

static inline PyObject **part(const classes *all, int class, PyObject *object, int slot) {
    return place_of(object, all->at[class][slot]);
}

static inline PyObject *of_tensor(const classes *all, PyObject *tensor, int slot) {
    return *part(all, TENSOR, tensor, slot);
}

static inline int is_a(const classes *all, PyObject *object, int class) {
    return object && Py_TYPE(object) == all->class[class];
}

/* A tensor's version, if its count is a slot. */
static inline PyObject *version_of(const classes *all, PyObject *tensor) {
    PyObject *version = of_tensor(all, tensor, VERSION);
    PyTypeObject *type = version ? Py_TYPE(version) : NULL;
    return type == all->class[COUNTER] || type == all->foreign || type == all->gradient ? version : NULL;
}

static inline PyObject *count_of(const classes *all, PyObject *tensor) {
    return *part(all, COUNTER, of_tensor(all, tensor, VERSION), COUNT);
}

static inline int equal(PyObject *count, PyObject *other) {
    return PyObject_RichCompareBool(count, other, Py_EQ) == 1;
}

static inline const array_object *usable_array(const classes *all, PyObject *value) {
    if (!value || Py_TYPE(value) != all->array) return NULL;
    const array_object *array = (const array_object *)(void *)value;
    if (array->dtype != all->float32 && array->dtype != all->float64) return NULL;
    return (array->flags & USABLE) == USABLE ? array : NULL;
}

/* The array of a tensor that holds its own values and not its gradient; NULL for any other object. */
static inline const array_object *values_of(const classes *all, PyObject *value) {
    if (!is_a(all, value, TENSOR) || !version_of(all, value)) return NULL;
    PyObject *g = of_tensor(all, value, G), *requires_g = of_tensor(all, value, REQUIRES_G);
    if (requires_g != Py_True && (requires_g != Py_False || of_tensor(all, value, NODE) != Py_None))
        return NULL;
    if (g != Py_None && (!is_a(all, g, TENSOR) || version_of(all, g) == of_tensor(all, value, VERSION)))
        return NULL;
    return usable_array(all, of_tensor(all, value, ARRAY));
}

static inline double size_of(const array_object *array) {
    double size = 1;
    for (int k = 0; k < array->axes; k++) size *= (double)array->shape[k];
    return size;
}

static inline int same_shape(const array_object *one, const array_object *other) {
    if (one->axes != other->axes) return 0;
    for (int k = 0; k < one->axes; k++)
        if (one->shape[k] != other->shape[k]) return 0;
    return 1;
}

/* ---- making; NULL or -1 with an exception if there is no memory ---- */

static inline void fill(const classes *all, int class, PyObject *object, PyObject *const *values) {
    for (int slot = 0; NAMES[class][slot]; slot++)
        set(part(all, class, object, slot), Py_XNewRef(values[slot]));
}

static inline PyObject *make(const classes *all, int class, PyTypeObject *type,
                             PyObject *const *values) {
    PyObject *object = PyType_GenericAlloc(type ? type : all->class[class], 0);
    if (object) fill(all, class, object, values);
    return object;
}

/* See core/arrays.py: pin. The last array that an array is a view of; NULL if that takes Python to find.
 */
static inline PyObject *owner_of(const classes *all, const array_object *array) {
    for (PyObject *base = array->base; base; base = array->base) {
        if (Py_TYPE(base) != all->array) {
            int is_other = PyMemoryView_Check(base) || PyObject_TypeCheck(base, all->array);
            return is_other ? NULL : (PyObject *)(void *)array;
        }
        array = (const array_object *)(void *)base;
    }
    return (PyObject *)(void *)array;
}

static inline PyObject *pin(const classes *all, const array_object *array) {
    PyObject *owner = owner_of(all, array);
    return owner ? PyWeakref_NewRef(owner, NULL) : NULL;
}

/* A tensor around an array, with a version of its own, of this class. node: its place on the tape, or
 * None. */
static inline PyObject *tensor_of(const classes *all, PyObject *array, PyTypeObject *version_class,
                                  PyObject *pinned, PyObject *node) {
    PyObject *counter[] = {all->zero, Py_None, all->nothing};
    PyObject *version = make(all, COUNTER, version_class, counter);
    PyObject *requires_g = node == Py_None ? Py_False : Py_True;
    PyObject *values[] = {array,   Py_None, Py_None, Py_None, Py_None,   node,
                          Py_None, pinned,  Py_None, version, requires_g};
    PyObject *tensor = version ? make(all, TENSOR, NULL, values) : NULL;
    Py_XDECREF(version);
    return tensor;
}

/* A tensor off the tape whose memory stays where it is. */
static inline PyObject *wrap(const classes *all, PyObject *array, PyTypeObject *version_class) {
    PyObject *pinned = pin(all, (const array_object *)(void *)array);
    PyObject *tensor = pinned ? tensor_of(all, array, version_class, pinned, Py_None) : NULL;
    Py_XDECREF(pinned);
    return tensor;
}

/* See Tensor.hold. */
static inline int hold(const classes *all, PyObject *tensor) {
    PyObject **at = part(all, TENSOR, tensor, PIN);
    if (*at != Py_None) return 0;
    PyObject *pinned = pin(all, (const array_object *)(void *)of_tensor(all, tensor, ARRAY));
    if (!pinned) return -1;
    set(at, pinned);
    return 0;
}

#endif
