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
    const float *proj_exact;     /* bf16: proj in fp32, [columns][rows, filled up to vectors] */
} Block;

enum { PLAIN, ADD, GELU };

/* Mean over the channels of a vector of pixels, and what LayerNorm multiplies by; `plane` floats lie
 * between two channels. */
typedef struct {
    vec mean, scale;
} Spread;

INLINE Spread spread_of(const float *x, int64_t plane, int64_t channels) {
    const vec share = all(1.0f / (float)channels);
    vec sum = all(0), square = all(0);
    for (int64_t c = 0; c < channels; c++) sum += load(x + c * plane);
    Spread out = {sum * share, all(0)};
    for (int64_t c = 0; c < channels; c++) {
        vec d = load(x + c * plane) - out.mean;
        square += d * d;
    }
    vec variance = square * share + all(1e-5f);
    for (int l = 0; l < LANES; l++) out.scale[l] = 1.0f / __builtin_sqrtf(variance[l]);
    return out;
}

INLINE vec normed(vec x, Spread of, float weight, float bias) {
    return (x - of.mean) * of.scale * all(weight) + all(bias);
}

/* Over the channels of 64 pixels. */
INLINE void layer_norm(const float *x, int64_t plane, const float *norm, int64_t channels,
                       float *out, int64_t out_plane) {
    for (int at = 0; at < PIXELS; at += LANES) {
        const Spread of = spread_of(x + at, plane, channels);
        for (int64_t c = 0; c < channels; c++)
            store(out + c * out_plane + at,
                  normed(load(x + c * plane + at), of, norm[c], norm[channels + c]));
    }
}
