/* Products of window attention: pixels in the lanes of vectors, channel after channel. */

#pragma once

#include "vectors.h"

/* scores[key][query] = bias + mask + k[.][key] . q[.][query], and the largest of each query. The
 * rows of scores, of a block of queries from `at` on, lie `stride` apart. */
INLINE void four_keys(const float *q, const float *k, const float *bias, const float *mask,
                      int64_t width, int at, int key, int64_t stride, float *scores, vec *most) {
    vec sum[4][SPAN];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
UNROLLED
        for (int s = 0; s < SPAN; s++) {
            int64_t where = (key + j) * PIXELS + at + s * LANES;
            sum[j][s] = load(bias + where);
            if (mask) sum[j][s] += load(mask + where);
        }
    for (int64_t d = 0; d < width; d++)
        add_products(4, SPAN, k + d * PIXELS + key, 1, q + d * PIXELS + at, sum);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
UNROLLED
        for (int s = 0; s < SPAN; s++) {
            store(scores + (key + j) * stride + s * LANES, sum[j][s]);
            most[s] = larger(most[s], sum[j][s]);
        }
}

/* out[d][query] = sum over keys of v[d][key] * p[key][query], times the queries' factor. */
INLINE void some_values(const int count, const float *v, const float *p, int64_t stride,
                        const vec *factor, float *out) {
    vec sum[5][SPAN];
UNROLLED
    for (int d = 0; d < count; d++)
UNROLLED
        for (int s = 0; s < SPAN; s++) sum[d][s] = all(0);
    for (int key = 0; key < PIXELS; key++)
        add_products(count, SPAN, v + key, PIXELS, p + key * stride, sum);
UNROLLED
    for (int d = 0; d < count; d++)
UNROLLED
        for (int s = 0; s < SPAN; s++) store(out + d * PIXELS + s * LANES, sum[d][s] * factor[s]);
}
