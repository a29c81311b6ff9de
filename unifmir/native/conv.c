/* 3 x 3 convolutions of (N, C, H, W) images, padding 1 with zeros.
 *
 * A tile of the input is copied with its border, [channel][row][column], so that a tap is an
 * offset and a run of 64 neighbouring outputs is six rows of a matrix product, as in swin.c.
 * Outputs are computed over the border's columns too (2 of TILE + 2) and dropped.
 *
 * Weights: [out / 6][in][tap][6].
 */

#include <stdatomic.h>

#include "conv.h"

#define TILE 64 /* columns and, where memory allows, up to 32 rows */

typedef struct {
    int64_t height, width, top, left, rows, columns;
    int64_t in_plane, out_plane; /* floats between two channels */
} Area;

static int64_t rows_of(const Conv *c) {
    /* A tile of half a megabyte stays in the second-level cache beside the weights of six rows. */
    int64_t row = c->in * (TILE + 2) * 4, rows = (1 << 19) / row - 2;
    return rows < 4 ? 4 : rows > 32 ? 32 : rows;
}

static int64_t positions(int64_t rows, int64_t columns) {
    /* Runs of 64 may begin before the last row's end; the taps reach two rows further. */
    return (rows + 2) * (columns + 2) + PIXELS + 2;
}

/* Floats of memory a thread needs. */
int64_t conv_work(const Conv *c) {
    int64_t many = positions(rows_of(c), TILE);
    return (c->in + 1) * many + (ROWS + 2) * many + 64;
}

static void copy_row(const float *image, Area a, int64_t row, float *to) {
    int64_t left = a.left - 1, right = a.left + a.columns + 1, from = left < 0 ? 0 : left;
    int64_t end = right > a.width ? a.width : right;
    if (row < 0 || row >= a.height) {
        memset(to, 0, (a.columns + 2) * sizeof(float));
        return;
    }
    to[0] = to[a.columns + 1] = 0;
    memcpy(to + (from - left), image + row * a.width + from, (end - from) * sizeof(float));
}

static void copy_tile(const float *image, int64_t channels, Area a, int64_t plane, float *out) {
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t y = 0; y < a.rows + 2; y++)
            copy_row(image + c * a.in_plane, a, a.top + y - 1,
                     out + c * plane + y * (a.columns + 2));
        memset(out + c * plane + (a.rows + 2) * (a.columns + 2), 0,
               (plane - (a.rows + 2) * (a.columns + 2)) * sizeof(float));
    }
}

INLINE void run(const float *w, const float *b, const float *x, int64_t channels, int64_t plane,
                int64_t stride, float *out, int64_t step) {
    for (int at = 0; at < PIXELS; at += BLOCK) {
        vec sum[ROWS][SPAN];
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++)
UNROLLED
            for (int s = 0; s < SPAN; s++) sum[r][s] = all(b[r]);
        for (int64_t c = 0; c < channels; c++)
            for (int dy = 0; dy < 3; dy++)
#pragma GCC unroll 3
                for (int dx = 0; dx < 3; dx++)
                    add_products(ROWS, SPAN, w + (c * TAPS + dy * 3 + dx) * ROWS, 1,
                                 x + c * plane + dy * stride + dx + at, sum);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++)
UNROLLED
            for (int s = 0; s < SPAN; s++) store(out + r * step + at + s * LANES, sum[r][s]);
    }
}

/* One row of six computed channels to the image, without the border's columns. */
static void place(const Conv *c, Area a, const float *computed, int64_t step, int64_t first,
                  const float *add, float *image) {
    for (int64_t r = 0; r < ROWS && first + r < c->out; r++)
        for (int64_t y = 0; y < a.rows; y++) {
            const float *from = computed + r * step + y * (a.columns + 2);
            int64_t where = (first + r) * a.out_plane + (a.top + y) * a.width + a.left;
            if (add)
                for (int64_t x = 0; x < a.columns; x++)
                    image[where + x] = after(c, from[x]) + add[where + x];
            else if (c->after == NOTHING)
                memcpy(image + where, from, a.columns * sizeof(float));
            else
                for (int64_t x = 0; x < a.columns; x++) image[where + x] = after(c, from[x]);
        }
}

static void conv_tile(const Conv *c, const float *image, Area a, const float *add, float *out,
                      float *work) {
    const int64_t stride = a.columns + 2, many = a.rows * stride;
    const int64_t plane = (positions(a.rows, a.columns) + LANES - 1) / LANES * LANES;
    const int64_t step = (many + PIXELS - 1) / PIXELS * PIXELS;
    float *computed = work, *rows = work + ROWS * step;
    copy_tile(image, c->in, a, plane, rows);
    for (int64_t first = 0; first < c->out; first += ROWS) {
        for (int64_t at = 0; at < many; at += PIXELS)
            run(c->weights + first * c->in * TAPS, c->bias + first, rows + at, c->in, plane, stride,
                computed + at, step);
        place(c, a, computed, step, first, add, out);
    }
}

/* out = after(convolution(images)) + add, (n, channels, height, width) each; add may be null.
 * Planes: floats between two channels of images, and of out and add.
 * next: shared by the threads that work on the same images; 0 at the start.
 */
void conv_images(const Conv *c, const float *images, int64_t in_plane, int64_t n, int64_t height,
                 int64_t width, const float *add, float *out, int64_t out_plane,
                 _Atomic int64_t *next, float *work) {
    const int64_t high = rows_of(c), down = (height + high - 1) / high;
    const int64_t across = (width + TILE - 1) / TILE;
    for (;;) {
        int64_t index = atomic_fetch_add(next, 1);
        if (index >= n * down * across) return;
        int64_t image = index / across / down, size = c->out * out_plane;
        Area a = {height, width,    index / across % down * high, index % across * TILE, high,
                  TILE,   in_plane, out_plane};
        if (a.top + a.rows > height) a.rows = height - a.top;
        if (a.left + a.columns > width) a.columns = width - a.left;
        conv_tile(c, images + image * c->in * in_plane, a, add ? add + image * size : 0,
                  out + image * size, work);
    }
}
