/* What a 3 x 3 convolution consists of. */

#pragma once

#include "vectors.h"

#define TAPS 9

enum { NOTHING = 0, LEAKY = 1 };

typedef struct {
    int64_t in, out;      /* channels */
    const float *weights; /* as conv.c or winograd.c has them */
    const float *bias;    /* filled up to a multiple of 6 */
    int64_t after;
    float slope;          /* of LEAKY; 0 makes it a ReLU */
} Conv;

INLINE float after(const Conv *c, float value) {
    if (c->after == NOTHING || value > 0) return value;
    return value * c->slope;
}
