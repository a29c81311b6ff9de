/* What a Swin block consists of, and the part of it that both precisions share. */

#pragma once

#include "vectors.h"

/* A matrix of floats is packed [rows / 6][columns][6], one of bf16 [rows / 48][columns / 32][48][16]
 * pairs (amx.h), the last of each filled up with zeros; the bias to a multiple of six. */
typedef struct {
    const void *weights;
    const float *bias;
} Matrix;

/* Everything of a block. The queries' rows hold the scale and log2(e), as does the position bias. */
typedef struct {
    int64_t channels, heads, width, hidden; /* width: of a head */
    int64_t bf16;
    const float *norm1, *norm2;  /* [2][channels]: weight, bias */
    Matrix qkv, proj, fc1, fc2;  /* qkv: queries, keys, values; heads inside */
    const float *position;       /* [heads][key][query] */
    const float *centre;         /* bf16: of the hidden layer, taken off before it is rounded */
} Block;

enum { PLAIN, ADD, GELU };

/* Over the channels of 64 pixels; `plane` floats lie between two channels. */
INLINE void layer_norm(const float *x, int64_t plane, const float *norm, int64_t channels,
                       float *out, int64_t out_plane) {
    const vec share = all(1.0f / (float)channels);
    for (int at = 0; at < PIXELS; at += LANES) {
        vec sum = all(0), square = all(0);
        for (int64_t c = 0; c < channels; c++) sum += load(x + c * plane + at);
        vec mean = sum * share;
        for (int64_t c = 0; c < channels; c++) {
            vec d = load(x + c * plane + at) - mean;
            square += d * d;
        }
        vec variance = square * share + all(1e-5f), scale;
        for (int l = 0; l < LANES; l++) scale[l] = 1.0f / __builtin_sqrtf(variance[l]);
        for (int64_t c = 0; c < channels; c++) {
            vec d = (load(x + c * plane + at) - mean) * scale;
            store(out + c * out_plane + at, d * all(norm[c]) + all(norm[channels + c]));
        }
    }
}
