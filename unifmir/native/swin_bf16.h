/* The products of a Swin block in bf16 with sums in fp32. See swin.c.
 *
 * The image, LayerNorm, softmax and GELU stay fp32. `linear_bf16` chooses what multiplies a matrix and a
 * window: AMX where this process may use it, AVX512_BF16 otherwise. Scores of attention are always
 * AVX512_BF16's: keys lie as pixels do, and AMX would want them as it wants weights.
 */

#pragma once

#include "amx.h"
#include "block.h"

INLINE void six_rows_bf16(const pair *w, const float *b, const pair *x, int64_t pairs, float *out,
                          int kind) {
    vec sum[ROWS][SPAN];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) sum[r][s] = all(b[r]);
    for (; pairs > 0; pairs -= AMX_TILE, w += BAND * AMX_TILE) {
        const int64_t here = pairs < AMX_TILE ? pairs : AMX_TILE;
        for (int64_t k = 0; k < here; k++, x += PIXELS)
            add_products_bf16(ROWS, SPAN, w + k, AMX_TILE, x, sum);
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) {
            float *to = out + r * PIXELS + s * LANES;
            if (kind == ADD) sum[r][s] += load(to);
            store(to, sum[r][s]);
        }
}

/* At most sixteen rows, by AMX. */
INLINE void tile_of_rows(const pair *w, const float *b, const pair *x, int64_t pairs, int64_t rows,
                         float *out, int kind) {
    float sums[AMX_TILE * PIXELS];
    multiply_amx(SPAN, w, AMX_TILE, BAND * AMX_TILE, x, PIXELS, pairs, sums, PIXELS);
    for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int64_t at = r * PIXELS; at < (r + 1) * PIXELS; at += LANES) {
            vec sum = load(sums + at) + all(b[r]);
            if (kind == ADD) sum += load(out + at);
            store(out + at, sum);
        }
}

/* out[row][pixel] (+)= m[row] . x[.][pixel]. */
INLINE void linear_bf16(Matrix m, pair *x, int64_t rows, int64_t columns, float *out, int kind) {
    const int64_t pairs = (columns + 1) / 2, filled = in_tiles(pairs);
    const int64_t amx = uses_amx(), step = amx ? AMX_TILE : ROWS;
    if (amx) memset(x + pairs * PIXELS, 0, (filled - pairs) * PIXELS * sizeof(pair));
    for (int64_t r = 0; r < rows; r += step) {
        const pair *w = (const pair *)m.weights + r / BAND * BAND * filled + r % BAND * AMX_TILE;
        const int64_t left = rows - r < AMX_TILE ? rows - r : AMX_TILE;
        if (amx)
            tile_of_rows(w, m.bias + r, x, filled, left, out + r * PIXELS, kind);
        else
            six_rows_bf16(w, m.bias + r, x, pairs, out + r * PIXELS, kind);
    }
}

INLINE void four_keys_bf16(const pair *q, const pair *k, const float *bias, const float *mask,
                           int64_t pairs, int key, float *scores, vec *most) {
    vec sum[4][SPAN];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) {
            int64_t where = (key + j) * PIXELS + s * LANES;
            sum[j][s] = load(bias + where);
            if (mask) sum[j][s] += load(mask + where);
        }
    for (int64_t d = 0; d < pairs; d++)
        add_products_bf16(4, SPAN, k + d * PIXELS + key, 1, q + d * PIXELS, sum);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) {
            store(scores + (key + j) * PIXELS + s * LANES, sum[j][s]);
            most[s] = larger(most[s], sum[j][s]);
        }
}

INLINE void some_values_bf16(const int count, const uint16_t *v, const pair *p, const vec *factor,
                             float *out) {
    vec sum[5][SPAN];
#pragma GCC unroll 5
    for (int d = 0; d < count; d++)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) sum[d][s] = all(0);
    for (int key = 0; key < PIXELS / 2; key++)
        add_products_bf16(count, SPAN, (const pair *)v + key, PIXELS / 2, p + key * PIXELS, sum);
#pragma GCC unroll 5
    for (int d = 0; d < count; d++)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) store(out + d * PIXELS + s * LANES, sum[d][s] * factor[s]);
}

/* At most sixteen values, by AMX. */
INLINE void tile_of_values(const uint16_t *v, const pair *p, const vec *factor, int64_t rows,
                           float *out) {
    float sums[AMX_TILE * PIXELS];
    multiply_amx(SPAN, (const pair *)v, PIXELS / 2, AMX_TILE, p, PIXELS, PIXELS / 2, sums, PIXELS);
    for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) {
            const int64_t at = r * PIXELS + s * LANES;
            store(out + at, load(sums + at) * factor[s]);
        }
}

static void attend_bf16(const pair *q, const pair *k, const uint16_t *v, const float *bias,
                        const float *mask, int64_t width, float *scores, pair *shares, float *out) {
    const int64_t pairs = (width + 1) / 2;
    vec most[SPAN], total[SPAN];
    for (int s = 0; s < SPAN; s++) most[s] = all(-3e38f), total[s] = all(0);
    if (mask)
        for (int key = 0; key < PIXELS; key += 4)
            four_keys_bf16(q, k, bias, mask, pairs, key, scores, most);
    else
        for (int key = 0; key < PIXELS; key += 4)
            four_keys_bf16(q, k, bias, 0, pairs, key, scores, most);
    for (int key = 0; key < PIXELS; key += 2)
#pragma GCC unroll 4
        for (int s = 0; s < SPAN; s++) {
            const float *score = scores + key * PIXELS + s * LANES;
            vec even = exp2_roughly(load(score) - most[s]);
            vec odd = exp2_roughly(load(score + PIXELS) - most[s]);
            total[s] += even + odd;
            store_pairs(shares + key / 2 * PIXELS + s * LANES, even, odd);
        }
    for (int s = 0; s < SPAN; s++) total[s] = all(1.0f) / total[s];
    int64_t d = 0;
    if (uses_amx())
        for (; d < width; d += AMX_TILE)
            tile_of_values(v + d * PIXELS, shares, total, width - d < AMX_TILE ? width - d : AMX_TILE,
                           out + d * PIXELS);
    for (; d + 5 <= width; d += 5)
        some_values_bf16(5, v + d * PIXELS, shares, total, out + d * PIXELS);
    for (; d < width; d++) some_values_bf16(1, v + d * PIXELS, shares, total, out + d * PIXELS);
}

/* GELU of rows of fp32, less their centres, as pairs. */
INLINE void activate(const float *rows, const float *centre, int64_t count, pair *out) {
    for (int64_t r = 0; r < count; r += 2)
        for (int at = 0; at < PIXELS; at += LANES) {
            const float *even = rows + r * PIXELS + at;
            vec odd = all(0);
            if (r + 1 < count) odd = gelu_roughly(load(even + PIXELS)) - all(centre[r + 1]);
            store_pairs(out + r / 2 * PIXELS + at, gelu_roughly(load(even)) - all(centre[r]), odd);
        }
}

/* Rows of fp32 as pairs, less their means: what attention gives is nearly the same for all pixels of a
 * window, and so would be what rounding does to it. */
INLINE void pair_differences(const float *rows, int64_t count, float *means, pair *out) {
    for (int64_t r = 0; r < count; r++) {
        vec sum = all(0);
        for (int at = 0; at < PIXELS; at += LANES) sum += load(rows + r * PIXELS + at);
        means[r] = _mm512_reduce_add_ps((__m512)sum) / PIXELS;
    }
    for (int64_t r = 0; r < count; r += 2)
        for (int at = 0; at < PIXELS; at += LANES) {
            const float *even = rows + r * PIXELS + at;
            vec odd = all(0);
            if (r + 1 < count) odd = load(even + PIXELS) - all(means[r + 1]);
            store_pairs(out + r / 2 * PIXELS + at, load(even) - all(means[r]), odd);
        }
}

/* What a matrix makes of numbers that all pixels share, with its bias: in fp32, as it is one column.
 * Weights: [columns][rows, filled up to vectors], out as well. */
INLINE void shared_part(const float *weights, const float *bias, const float *shared, int64_t rows,
                        int64_t columns, float *out) {
    const int64_t filled = (rows + LANES - 1) / LANES * LANES;
    memcpy(out, bias, rows * sizeof(float));
    for (int64_t k = 0; k < columns; k++)
        for (int64_t r = 0; r < filled; r += LANES)
            store(out + r, load(out + r) + load(weights + k * filled + r) * all(shared[k]));
}

/* LayerNorm as pairs. */
INLINE void layer_norm_pairs(const float *x, const float *norm, int64_t channels, pair *out) {
    const float *bias = norm + channels;
    for (int at = 0; at < PIXELS; at += LANES) {
        const Spread of = spread_of(x + at, PIXELS, channels);
        for (int64_t c = 0; c < channels; c += 2) {
            const float *even = x + c * PIXELS + at;
            vec odd = all(0);
            if (c + 1 < channels) odd = normed(load(even + PIXELS), of, norm[c + 1], bias[c + 1]);
            store_pairs(out + c / 2 * PIXELS + at, normed(load(even), of, norm[c], bias[c]), odd);
        }
    }
}

static void window_block_bf16(const Block *b, const float *mask, float *x, float *work) {
    const int64_t c = b->channels, pairs = (b->width + 1) / 2, plane = PIXELS * PIXELS;
    const int64_t wide = 3 * c > b->hidden ? 3 * c : b->hidden;
    float *qkv = work, *heads = qkv + (wide + ROWS) * PIXELS;
    float *scores = heads + c * PIXELS;
    pair *shares = (pair *)(scores + plane), *in = shares + plane / 2;
    pair *q = in + in_tiles((wide + 1) / 2) * PIXELS, *k = q + pairs * PIXELS;
    uint16_t *v = (uint16_t *)(k + pairs * PIXELS);
    float *means = qkv, *offset = means + c; /* queries, keys and values are done with by then */
    layer_norm_pairs(x, b->norm1, c, in);
    linear_bf16(b->qkv, in, 3 * c, c, qkv, PLAIN);
    for (int64_t h = 0; h < b->heads; h++) {
        const float *head = qkv + h * b->width * PIXELS;
        pair_rows(head, b->width, q);
        pair_rows(head + c * PIXELS, b->width, k);
        narrow_rows(head + 2 * c * PIXELS, b->width, v);
        attend_bf16(q, k, v, b->position + h * plane, mask, b->width, scores, shares,
                    heads + h * b->width * PIXELS);
    }
    pair_differences(heads, c, means, in);
    shared_part(b->proj_exact, b->proj.bias, means, c, c, offset);
    linear_bf16((Matrix){b->proj.weights, offset}, in, c, c, x, ADD);
    layer_norm_pairs(x, b->norm2, c, in);
    linear_bf16(b->fc1, in, b->hidden, c, qkv, PLAIN);
    activate(qkv, b->centre, b->hidden, in);
    linear_bf16(b->fc2, in, c, b->hidden, x, ADD);
}
