/* 3 x 3 convolutions of many channels, by Winograd's F(4 x 4, 3 x 3): 36 products where 144 are due.
 *
 * A tile of 4 x 4 outputs reads 6 x 6 inputs. Both are polynomials known at the six points 0, 3/4,
 * -3/4, 3/2, -3/2 and infinity, in each direction (Lavin and Gray, CVPR 2016). These points are exact
 * in binary, and rounding errors stay at twice those of the convolution written out; with the usual
 * 0, 1, -1, 2, -2 it is five times (cf. Barabasz et al., ACM TOMS 2020).
 *
 * Tiles lie in the lanes of vectors, row after row of them, so that the products at each pair of
 * points are six rows of a matrix product, as in swin.c. What is read six columns wide is laid out
 * in planes first, of all pixels that have the same place in their tiles.
 */

#include <stdatomic.h>

#include "conv.h"

#define STEP 4   /* outputs of a tile, in each direction */
#define REACH 6  /* inputs */
#define POINTS (REACH * REACH)
#define TILES 64     /* that are computed together, about */
#define CHANNELS 96  /* whose sums are computed together */

#define A 0.75f
#define B 1.5f
#define A2 (A * A)
#define B2 (B * B)

/* Strip of tiles of an image. */
typedef struct {
    int64_t top, down, across; /* rows and columns of tiles; columns are all of the image's */
    int64_t many;              /* tiles, filled up to whole vectors */
} Strip;

INLINE int64_t tiles_of(int64_t pixels) { return (pixels + STEP - 1) / STEP; }
INLINE int64_t filled(int64_t tiles) { return (tiles + LANES - 1) / LANES * LANES; }
INLINE int64_t rows_at_once(int64_t across) { return across < TILES ? TILES / across : 1; }

/* Floats between two points: not a power of two, or all would lie in the same lines of a cache. */
INLINE int64_t apart(int64_t channels, int64_t many) { return channels * many + LANES; }

INLINE int64_t groups_of(int64_t outputs) { return (outputs + ROWS - 1) / ROWS; }

/* Floats of a kernel's plane: one of its nine taps, or of its points. Weights are packed for all
 * processors alike, those of 16 lanes too. */
INLINE int64_t plane_of(const Conv *c) { return (groups_of(c->out) * c->in * ROWS + 15) / 16 * 16; }

/* Floats of the planes of one channel of a strip: 4 by 6 places in a tile, one row of tiles more. */
INLINE int64_t place_of(int64_t down, int64_t across) {
    return filled((down + 1) * across) + 2 * LANES;
}

/* Floats of a row of an image, with its border. */
INLINE int64_t row_of(int64_t across) { return filled(STEP * across + 2); }

int64_t winograd_kernel_size(const Conv *c) { return POINTS * plane_of(c); }

/* Floats of memory a thread needs. */
int64_t winograd_work(const Conv *c, int64_t width) {
    int64_t across = tiles_of(width), down = rows_at_once(across), many = filled(down * across);
    return POINTS * (apart(c->in, many) + apart(groups_of(c->out) * ROWS, many)) +
           STEP * REACH * place_of(down, across) + row_of(across);
}

/* Values of three taps at six points, over the derivatives that interpolation divides by. */
INLINE void kernel_points(const vec *g, int64_t step, vec *out, int64_t out_step) {
    const vec at_a = all(1 / (2 * A2 * (A2 - B2))), at_b = all(1 / (2 * B2 * (B2 - A2)));
    vec even = g[0] + all(A2) * g[2 * step], odd = all(A) * g[step];
    out[0] = all(1 / (A2 * B2)) * g[0];
    out[out_step] = at_a * (even + odd);
    out[2 * out_step] = at_a * (even - odd);
    even = g[0] + all(B2) * g[2 * step], odd = all(B) * g[step];
    out[3 * out_step] = at_b * (even + odd);
    out[4 * out_step] = at_b * (even - odd);
    out[5 * out_step] = g[2 * step];
}

/* Kernels at the points, [point][out / 6][in][6], of their taps, [tap][out / 6][in][6].
 * next: shared by the threads; 0 at the start. */
void winograd_kernel(const Conv *c, float *out, _Atomic int64_t *next) {
    const int64_t plane = plane_of(c), chunk = 64 * LANES;
    const float *weights = c->weights;
    for (;;) {
        int64_t first = atomic_fetch_add(next, chunk);
        if (first >= plane) return;
        for (int64_t at = first; at < first + chunk && at < plane; at += LANES) {
            vec tap[TAPS], half[3 * REACH], point[POINTS];
#pragma GCC unroll 9
            for (int i = 0; i < TAPS; i++) tap[i] = load(weights + i * plane + at);
#pragma GCC unroll 3
            for (int x = 0; x < 3; x++) kernel_points(tap + x, 3, half + x, 3);
#pragma GCC unroll 6
            for (int y = 0; y < REACH; y++) kernel_points(half + 3 * y, 1, point + REACH * y, 1);
#pragma GCC unroll 36
            for (int i = 0; i < POINTS; i++) store(out + i * plane + at, point[i]);
        }
    }
}

/* One channel's pixels by their place in a tile, [4 rows][6 columns][tile]; `row` is room for one. */
static void sort_pixels(const float *image, int64_t height, int64_t width, Strip s,
                        float *restrict row, float *out) {
    const int64_t place = place_of(s.down, s.across);
    row[0] = 0;
    memset(row + 1 + width, 0, (row_of(s.across) - 1 - width) * sizeof(float));
    for (int64_t down = 0; down < STEP * s.down + 2; down++) {
        const int64_t y = STEP * s.top + down - 1;
        if (y >= 0 && y < height)
            memcpy(row + 1, image + y * width, width * sizeof(float));
        else
            memset(row + 1, 0, width * sizeof(float));
        float *restrict to = out + down % STEP * REACH * place + down / STEP * s.across;
        for (int64_t tile = 0; tile < s.across; tile++)
#pragma GCC unroll 4
            for (int column = 0; column < STEP; column++)
                to[column * place + tile] = row[STEP * tile + column];
        for (int column = STEP; column < REACH; column++)
            for (int64_t tile = 0; tile < s.across; tile++)
                to[column * place + tile] = row[STEP * tile + column];
    }
}

INLINE void image_points(const vec *d, int64_t step, vec *out, int64_t out_step) {
    vec even = d[4 * step] - all(B2) * d[2 * step];
    vec odd = all(A) * d[3 * step] - all(A * B2) * d[step];
    out[0] = all(A2 * B2) * d[0] - all(A2 + B2) * d[2 * step] + d[4 * step];
    out[out_step] = even + odd;
    out[2 * out_step] = even - odd;
    even = d[4 * step] - all(A2) * d[2 * step];
    odd = all(B) * d[3 * step] - all(B * A2) * d[step];
    out[3 * out_step] = even + odd;
    out[4 * out_step] = even - odd;
    out[5 * out_step] = all(A2 * B2) * d[step] - all(A2 + B2) * d[3 * step] + d[5 * step];
}

/* A strip at the points, [point][channel][tile]. */
static void image_to_points(const Conv *c, const float *image, int64_t plane, int64_t height,
                            int64_t width, Strip s, float *sorted, float *out) {
    const int64_t place = place_of(s.down, s.across), step = apart(c->in, s.many);
    for (int64_t channel = 0; channel < c->in; channel++) {
        sort_pixels(image + channel * plane, height, width, s, sorted + STEP * REACH * place, sorted);
        for (int64_t at = 0; at < s.many; at += LANES) {
            vec half[POINTS], point[REACH];
#pragma GCC unroll 6
            for (int x = 0; x < REACH; x++) {
                vec column[REACH];
#pragma GCC unroll 6
                for (int y = 0; y < REACH; y++)
                    column[y] = load(sorted + (y % STEP * REACH + x) * place +
                                     y / STEP * s.across + at);
                image_points(column, 1, half + x, REACH);
            }
#pragma GCC unroll 6
            for (int y = 0; y < REACH; y++) {
                image_points(half + REACH * y, 1, point, 1);
#pragma GCC unroll 6
                for (int x = 0; x < REACH; x++)
                    store(out + (REACH * y + x) * step + channel * s.many + at, point[x]);
            }
        }
    }
}

/* out (+)= kernel . in, six channels out and `span` vectors of tiles. `next`: where, from w on, the
 * kernel that is needed next begins; the processor would not foresee it, and wait. */
INLINE void six_outputs(const int span, const float *w, const float *x, int64_t channels,
                        int64_t many, int64_t next, int add, float *out) {
    vec sum[ROWS][SPAN];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
UNROLLED
        for (int s = 0; s < span; s++) sum[r][s] = all(0);
    for (int64_t c = 0; c < channels; c++) {
        __builtin_prefetch(w + next + c * ROWS);
        add_products(ROWS, span, w + c * ROWS, 1, x + c * many, sum);
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
UNROLLED
        for (int s = 0; s < span; s++) {
            float *to = out + r * many + s * LANES;
            if (add) sum[r][s] += load(to);
            store(to, sum[r][s]);
        }
}

/* The sums over channels at each point, [point][out][tile]: over as many channels at once as stay
 * in the first-level cache while all channels out are computed from them. */
static void multiply(const Conv *c, const float *kernel, Strip s, const float *in, float *out) {
    const int64_t groups = groups_of(c->out), plane = plane_of(c), many = s.many;
    const int64_t group = c->in * ROWS;
    const int64_t chunks = (c->in + CHANNELS - 1) / CHANNELS, chunk = (c->in + chunks - 1) / chunks;
    for (int point = 0; point < POINTS; point++)
        for (int64_t at = 0, span; at < many; at += span * LANES) {
            span = at + BLOCK <= many ? SPAN : 1;
            for (int64_t first = 0; first < c->in; first += chunk) {
                const int64_t channels = first + chunk < c->in ? chunk : c->in - first;
                const float *x = in + point * apart(c->in, many) + first * many + at;
                const float *w = kernel + point * plane + first * ROWS;
                float *to = out + point * apart(groups * ROWS, many) + at;
                for (int64_t g = 0; g < groups; g++, w += group, to += ROWS * many)
                    if (span == SPAN)
                        six_outputs(SPAN, w, x, channels, many, group, first > 0, to);
                    else
                        six_outputs(1, w, x, channels, many, group, first > 0, to);
            }
        }
}

/* Four outputs of the values at six points. */
INLINE void outputs(const vec *m, int64_t step, vec *out, int64_t out_step) {
    vec even_a = m[step] + m[2 * step], odd_a = m[step] - m[2 * step];
    vec even_b = m[3 * step] + m[4 * step], odd_b = m[3 * step] - m[4 * step];
    out[0] = m[0] + even_a + even_b;
    out[out_step] = all(A) * odd_a + all(B) * odd_b;
    out[2 * out_step] = all(A2) * even_a + all(B2) * even_b;
    out[3 * out_step] = all(A2 * A) * odd_a + all(B2 * B) * odd_b + m[5 * step];
}

/* One channel from the points, by place in a tile, [4 rows][4 columns][tile]. */
static void points_to_outputs(const float *in, int64_t step, float bias, Strip s, float *out) {
    for (int64_t at = 0; at < s.many; at += LANES) {
        vec half[STEP * REACH], row[STEP];
#pragma GCC unroll 6
        for (int x = 0; x < REACH; x++) {
            vec column[REACH];
#pragma GCC unroll 6
            for (int y = 0; y < REACH; y++) column[y] = load(in + (REACH * y + x) * step + at);
            outputs(column, 1, half + x, REACH);
        }
#pragma GCC unroll 4
        for (int y = 0; y < STEP; y++) {
            outputs(half + REACH * y, 1, row, 1);
#pragma GCC unroll 4
            for (int x = 0; x < STEP; x++)
                store(out + (STEP * y + x) * s.many + at, row[x] + all(bias));
        }
    }
}

/* One channel's sorted outputs to the image. */
static void place_outputs(const Conv *c, const float *sorted, int64_t height, int64_t width,
                          Strip s, const float *add, float *image) {
    for (int64_t row = 0; row < STEP * s.down; row++) {
        int64_t y = STEP * s.top + row;
        if (y >= height) return;
        const float *restrict from = sorted + row % STEP * STEP * s.many + row / STEP * s.across;
        float *restrict to = image + y * width;
        const int64_t whole = width / STEP;
        for (int64_t tile = 0; tile < whole; tile++)
#pragma GCC unroll 4
            for (int column = 0; column < STEP; column++)
                to[STEP * tile + column] = from[column * s.many + tile];
        for (int64_t x = STEP * whole; x < width; x++) to[x] = from[x % STEP * s.many + whole];
        if (c->after != NOTHING)
            for (int64_t x = 0; x < width; x++) to[x] = after(c, to[x]);
        if (add)
            for (int64_t x = 0; x < width; x++) to[x] += add[y * width + x];
    }
}

/* As conv_images; kernel: from winograd_kernel. */
void winograd_images(const Conv *c, const float *kernel, const float *images, int64_t in_plane,
                     int64_t n, int64_t height, int64_t width, const float *add, float *out,
                     int64_t out_plane, _Atomic int64_t *next, float *work) {
    const int64_t across = tiles_of(width), down = tiles_of(height), high = rows_at_once(across);
    const int64_t strips = (down + high - 1) / high, rows = groups_of(c->out) * ROWS;
    for (;;) {
        int64_t index = atomic_fetch_add(next, 1);
        if (index >= n * strips) return;
        int64_t image = index / strips;
        Strip s = {index % strips * high, high, across, 0};
        if (s.top + s.down > down) s.down = down - s.top;
        s.many = filled(s.down * across);
        float *in = work, *computed = in + POINTS * apart(c->in, s.many);
        float *sorted = computed + POINTS * apart(rows, s.many);
        image_to_points(c, images + image * c->in * in_plane, in_plane, height, width, s, sorted, in);
        multiply(c, kernel, s, in, computed);
        for (int64_t channel = 0; channel < c->out; channel++) {
            int64_t where = (image * c->out + channel) * out_plane;
            points_to_outputs(computed + channel * s.many, apart(rows, s.many), c->bias[channel], s,
                              sorted);
            place_outputs(c, sorted, height, width, s, add ? add + where : 0, out + where);
        }
    }
}
