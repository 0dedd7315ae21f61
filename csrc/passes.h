/* passes.h: what the short calls of passes.c share: the classes of engine/, and what a Passes knows. */
#ifndef BP_PASSES_H
#define BP_PASSES_H

#include "tensors.h"
#include "watch.h"

/* The slots of the classes of engine/, in the order of SLOTS. */
enum { DONE, WORKSPACE, WRITTEN_DOWN };
enum { LAYERS, ROWS, SMALL, SHAPES, DATA, TARGETS, READ_VERSIONS, SHORT, SPENT };
enum { GIVEN, HELD_ARRAY, HELD_AT, HELD_VERSION, HELD_PIN };
enum { LAST };
enum { PASS, SPACE, HELD, SHORTCUT, OWN_CLASSES, MOST_OWN = 9 };

static const char *const SLOTS[OWN_CLASSES][MOST_OWN + 1] = {
    {"done", "workspace", "_inputs", 0},
    {"layers", "n", "is_small", "shapes", "x", "targ", "read", "short", "spent", 0},
    {"given", "array", "at", "version", "pin", 0},
    {"last", 0},
};

enum { WALKS, RECORDING, FORWARD, LAST_CALL, NAME_COUNT };
static const char *const NAMED[] = {"walks", "recording", "forward", "_last_call"};

typedef struct {
    PyObject_HEAD watched watched;
    classes all;
    PyTypeObject *class[OWN_CLASSES];
    Py_ssize_t at[OWN_CLASSES][MOST_OWN];
    void (*function)(void); /* bp_chain_forward */
    const bp_layer *described;
    size_t count; /* of these */
    int is_double;
    Py_ssize_t inputs, outputs;
    PyObject *layers;        /* the object around them, by which a workspace is known */
    PyObject *items, *inner; /* the Model's layers; the tensors whose versions a backward compares */
    PyObject *loss, *inplace;
    usual usual;
    PyObject *tape, *tape_switch, *empty, *check;
    PyObject *names[NAME_COUNT];
    PyObject *kept; /* owns all that is borrowed above */
} passes;

static inline PyObject **own(const passes *self, int class, PyObject *object, int slot) {
    return place_of(object, self->at[class][slot]);
}

static inline int is_own(const passes *self, PyObject *object, int class) {
    return object && Py_TYPE(object) == self->class[class];
}

/* given: (Pass, PassWorkspace, Held, Shortcut). Whether all slots were found. */
static inline int find_own(passes *self, PyObject *given) {
    for (int k = 0; k < OWN_CLASSES; k++) {
        PyObject *class = PyTuple_GetItem(given, k);
        if (!class || !PyType_Check(class)) return 0;
        self->class[k] = (PyTypeObject *)(void *)class;
        for (int slot = 0; SLOTS[k][slot]; slot++)
            if ((self->at[k][slot] = offset_of(self->class[k], SLOTS[k][slot])) <= 0) return 0;
    }
    return 1;
}

#endif
