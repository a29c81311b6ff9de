/* Images made smaller and larger between the levels of a U-Net.
 *
 * A row at a time, down first and across then: two rows of an image stay in the first-level cache.
 */

#include <stdatomic.h>

#include "vectors.h"

/* Channels of an image: floats between two of them, and their size. */
typedef struct {
    float *first;
    int64_t plane, channels, height, width;
} Planes;

/* The larger number; NaN where one is. */
INLINE float most(float a, float b) { return a > b || a != a ? a : b; }

/* Maxima of 3 x 3 pixels at every second one, of a channel or of the sum of two. */
static void pool(const float *restrict image, const float *restrict more, int64_t height,
                 int64_t width, float *restrict row, float *restrict out) {
    const int64_t down = (height - 3) / 2 + 1, across = (width - 3) / 2 + 1;
    for (int64_t y = 0; y < down; y++) {
        const float *a = image + 2 * y * width, *b = a + width, *c = b + width;
        if (more) {
            const float *d = more + 2 * y * width, *e = d + width, *f = e + width;
            for (int64_t x = 0; x < width; x++)
                row[x] = most(most(a[x] + d[x], b[x] + e[x]), c[x] + f[x]);
        } else
            for (int64_t x = 0; x < width; x++) row[x] = most(most(a[x], b[x]), c[x]);
        for (int64_t x = 0; x < across; x++)
            out[y * across + x] = most(most(row[2 * x], row[2 * x + 1]), row[2 * x + 2]);
    }
}

/* Maxima of 3 x 3 pixels at every second one, of images whose first channels `more` is added to.
 * out: where they go; row: room for one of the image.
 * next: shared by the threads that work on the same image; 0 at the start.
 */
void pool_images(const Planes *images, const Planes *more, const Planes *out,
                 _Atomic int64_t *next, float *row) {
    for (;;) {
        int64_t channel = atomic_fetch_add(next, 1);
        if (channel >= images->channels) return;
        pool(images->first + channel * images->plane,
             channel < more->channels ? more->first + channel * more->plane : 0, images->height,
             images->width, row, out->first + channel * out->plane);
    }
}

/* Where a pixel lies among `from` pixels, if it is one of `to`: right of `*left`, by the share of the
 * way to the next. In float, as PyTorch has it. */
INLINE float place_among(int64_t pixel, int64_t from, int64_t to, int32_t *left) {
    float at = (float)from / (float)to * ((float)pixel + 0.5f) - 0.5f;
    if (at < 0) at = 0;
    *left = (int32_t)at < from - 1 ? (int32_t)at : (int32_t)(from - 1);
    float share = at - (float)*left;
    return *left == from - 1 || share < 0 ? 0 : share > 1 ? 1 : share;
}

static void resize(const float *image, const Planes *images, float scale, float shift,
                   const int32_t *restrict left, const float *restrict share, float *restrict row,
                   const Planes *sizes, float *out) {
    const int64_t width = images->width;
    for (int64_t y = 0; y < sizes->height; y++) {
        int32_t top;
        const float down = place_among(y, images->height, sizes->height, &top);
        const float *restrict a = image + top * width, *restrict b = down > 0 ? a + width : a;
        float *restrict to = out + y * sizes->width;
        for (int64_t x = 0; x < width; x++)
            row[x] = scale * ((1 - down) * a[x] + down * b[x]) + shift;
        row[width] = row[width - 1];
        for (int64_t x = 0; x < sizes->width; x++)
            to[x] = (1 - share[x]) * row[left[x]] + share[x] * row[left[x] + 1];
    }
}

/* Floats of memory a thread needs to make images of another size. */
int64_t resize_work(int64_t width, int64_t out_width) { return width + 1 + 2 * out_width; }

/* Images of another size, linear between their pixels, times the channel's scale and with its shift,
 * which may be null. `out`: where they go, of as many channels.
 * next: shared by the threads that work on the same image; 0 at the start.
 */
void resize_images(const Planes *images, const float *scale, const float *shift, const Planes *out,
                   _Atomic int64_t *next, float *work) {
    float *share = work, *row = share + 2 * out->width;
    int32_t *left = (int32_t *)(share + out->width);
    for (int64_t x = 0; x < out->width; x++)
        share[x] = place_among(x, images->width, out->width, left + x);
    for (;;) {
        int64_t channel = atomic_fetch_add(next, 1);
        if (channel >= images->channels) return;
        resize(images->first + channel * images->plane, images, scale ? scale[channel] : 1,
               shift ? shift[channel] : 0, left, share, row, out,
               out->first + channel * out->plane);
    }
}
