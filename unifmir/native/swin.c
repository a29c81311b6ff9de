/* One Swin block over an image, window by window, without leaving the cache.
 *
 * A window of 8 x 8 pixels is held channel-major, [channel][64 pixels], so that pixels fill vector
 * registers exactly (64 = 4 x 16 = 8 x 8), whatever the number of channels and the head width: no padding
 * is ever computed, and LayerNorm, softmax and GELU need no sums across a register. Every matrix
 * product is then "broadcast one weight, multiply vectors of pixels". Images stay (N, C, H, W) as
 * convolutions want them; blocks work in place.
 *
 * Plain C with the vector extension of GCC and Clang; AVX512_BF16, and AMX,
 * where bf16 is asked for.
 */

#include <stdatomic.h>

#include "attention.h"
#include "block.h"

/* out[row][pixel] (+)= w[row] . x[.][pixel], six rows of all 64 pixels. A function of its own: inside
 * another, GCC keeps sums of AVX2 on the stack, which takes twice as long. */
ALONE void six_rows(const float *w, const float *b, const float *x, int64_t columns, float *out,
                    int kind) {
    for (int at = 0; at < PIXELS; at += BLOCK) {
        vec sum[ROWS][SPAN];
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++)
UNROLLED
            for (int s = 0; s < SPAN; s++) sum[r][s] = all(b[r]);
        for (int64_t k = 0; k < columns; k++)
            add_products(ROWS, SPAN, w + k * ROWS, 1, x + k * PIXELS + at, sum);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++)
UNROLLED
            for (int s = 0; s < SPAN; s++) {
                float *to = out + r * PIXELS + at + s * LANES;
                if (kind == ADD) sum[r][s] += load(to);
                store(to, sum[r][s]);
            }
    }
    /* In a loop of its own: with the sums still in registers it takes four times as long. */
    if (kind == GELU)
        for (int i = 0; i < ROWS * PIXELS; i += LANES) store(out + i, gelu_of(load(out + i)));
}

INLINE void linear(Matrix m, const float *x, int64_t rows, int64_t columns, float *out, int kind) {
    for (int64_t r = 0; r < rows; r += ROWS)
        six_rows((const float *)m.weights + r * columns, m.bias + r, x, columns, out + r * PIXELS,
                 kind);
}

static void attend(const float *q, const float *k, const float *v, const float *bias,
                   const float *mask, int64_t width, float *scores, float *out) {
    for (int at = 0; at < PIXELS; at += BLOCK) {
        vec most[SPAN], total[SPAN];
        for (int s = 0; s < SPAN; s++) most[s] = all(-3e38f), total[s] = all(0);
        if (mask)
            for (int key = 0; key < PIXELS; key += 4)
                four_keys(q, k, bias, mask, width, at, key, BLOCK, scores, most);
        else
            for (int key = 0; key < PIXELS; key += 4)
                four_keys(q, k, bias, 0, width, at, key, BLOCK, scores, most);
        for (int key = 0; key < PIXELS; key++)
UNROLLED
            for (int s = 0; s < SPAN; s++) {
                float *score = scores + key * BLOCK + s * LANES;
                vec e = exp2_of(larger(load(score) - most[s], all(-126.0f)));
                total[s] += e;
                store(score, e);
            }
        for (int s = 0; s < SPAN; s++) total[s] = all(1.0f) / total[s];
        int64_t d = 0;
        for (; d + 5 <= width; d += 5)
            some_values(5, v + d * PIXELS, scores, BLOCK, total, out + d * PIXELS + at);
        for (; d < width; d++)
            some_values(1, v + d * PIXELS, scores, BLOCK, total, out + d * PIXELS + at);
    }
}

/* Where a window lies in the image: its rows and columns go round the image's edges. */
typedef struct {
    int64_t plane, height, width, top, left; /* plane: floats between two channels */
} Place;

INLINE void gather(const float *image, Place at, int64_t channels, float *out) {
    for (int64_t c = 0; c < channels; c++)
        for (int y = 0; y < WINDOW; y++) {
            int64_t row = at.top + y;
            if (row >= at.height) row -= at.height;
            const float *from = image + c * at.plane + row * at.width;
            float *to = out + c * PIXELS + y * WINDOW;
            if (at.left + WINDOW <= at.width)
                memcpy(to, from + at.left, WINDOW * sizeof(float));
            else {
                memcpy(to, from + at.left, WINDOW / 2 * sizeof(float));
                memcpy(to + WINDOW / 2, from, WINDOW / 2 * sizeof(float));
            }
        }
}

INLINE void scatter(float *image, Place at, int64_t channels, const float *in) {
    for (int64_t c = 0; c < channels; c++)
        for (int y = 0; y < WINDOW; y++) {
            int64_t row = at.top + y;
            if (row >= at.height) row -= at.height;
            float *to = image + c * at.plane + row * at.width;
            const float *from = in + c * PIXELS + y * WINDOW;
            if (at.left + WINDOW <= at.width)
                memcpy(to + at.left, from, WINDOW * sizeof(float));
            else {
                memcpy(to + at.left, from, WINDOW / 2 * sizeof(float));
                memcpy(to, from + WINDOW / 2, WINDOW / 2 * sizeof(float));
            }
        }
}

/* Ask for a window's lines before they are needed: images are too large for the cache. */
INLINE void expect(const float *image, Place at, int64_t channels) {
    for (int64_t c = 0; c < channels; c++)
        for (int y = 0; y < WINDOW; y++) {
            int64_t row = at.top + y;
            if (row >= at.height) row -= at.height;
            __builtin_prefetch(image + c * at.plane + row * at.width + at.left, 1, 2);
        }
}

static void window_block(const Block *b, const float *mask, float *x, float *work) {
    const int64_t c = b->channels;
    float *normed = work, *qkv = normed + c * PIXELS;
    float *heads = qkv + (3 * c + ROWS) * PIXELS, *scores = heads + c * PIXELS;
    float *hidden = qkv; /* queries, keys and values are done with by then */
    layer_norm(x, PIXELS, b->norm1, c, normed, PIXELS);
    linear(b->qkv, normed, 3 * c, c, qkv, PLAIN);
    for (int64_t h = 0; h < b->heads; h++) {
        const float *q = qkv + h * b->width * PIXELS;
        attend(q, q + c * PIXELS, q + 2 * c * PIXELS, b->position + h * PIXELS * PIXELS, mask,
               b->width, scores, heads + h * b->width * PIXELS);
    }
    linear(b->proj, heads, c, c, x, ADD);
    layer_norm(x, PIXELS, b->norm2, c, normed, PIXELS);
    linear(b->fc1, normed, b->hidden, c, hidden, GELU);
    linear(b->fc2, hidden, c, b->hidden, x, ADD);
}

#ifdef HAS_BF16
#include "swin_bf16.h"
#else
INLINE void begin_tiles(void) {}
INLINE void end_tiles(void) {}
#endif

/* Floats of memory a thread needs. */
int64_t swin_work(const Block *b) {
    int64_t wide = 3 * b->channels > b->hidden ? 3 * b->channels : b->hidden;
    /* The window, normed, heads; queries, keys and values or the hidden layer; scores; the same
     * again as pairs, in whole tiles. */
    return (4 * b->channels + wide + 5 * ROWS) * PIXELS * 2 + 2 * PIXELS * PIXELS;
}

/* Restore every window of images (n, channels, height, width) in place.
 *
 * plane: floats between two channels. shift: 0 or 4. masks: [3][key][query], for windows in the last row, the last column, both.
 * next: shared by the threads that work on the same images; 0 at the start.
 */
void swin_block(const Block *b, float *images, int64_t plane, int64_t n, int64_t height,
                int64_t width, int64_t shift, const float *masks, _Atomic int64_t *next, float *work) {
    const int64_t down = height / WINDOW, across = width / WINDOW, many = n * down * across;
    float *x = work, *rest = work + (b->channels + ROWS) * PIXELS;
    if (b->bf16) begin_tiles();
    for (;;) {
        int64_t first = atomic_fetch_add(next, 4);
        if (first >= many) break;
        for (int64_t index = first; index < first + 4 && index < many; index++) {
            int64_t row = index / across % down, column = index % across;
            float *image = images + index / across / down * b->channels * plane;
            Place at = {plane, height, width, row * WINDOW + shift, column * WINDOW + shift};
            int edge = shift ? (row == down - 1) + 2 * (column == across - 1) : 0;
            const float *mask = edge ? masks + (edge - 1) * PIXELS * PIXELS : 0;
            gather(image, at, b->channels, x);
            if (column + 1 < across) {
                Place next_at = at;
                next_at.left += WINDOW;
                expect(image, next_at, b->channels);
            }
#ifdef HAS_BF16
            if (b->bf16)
                window_block_bf16(b, mask, x, rest);
            else
#endif
                window_block(b, mask, x, rest);
            scatter(image, at, b->channels, x);
        }
    }
    if (b->bf16) end_tiles();
}

/* LayerNorm over the channels of images (n, channels, pixels), pixels a multiple of 64. */
void norm_images(const float *norm, int64_t channels, const float *images, int64_t plane,
                 int64_t n, int64_t pixels, float *out, int64_t out_plane, _Atomic int64_t *next) {
    const int64_t blocks = pixels / PIXELS;
    for (;;) {
        int64_t first = atomic_fetch_add(next, 16);
        if (first >= n * blocks) return;
        for (int64_t index = first; index < first + 16 && index < n * blocks; index++) {
            int64_t first_channel = index / blocks * channels, at = index % blocks * PIXELS;
            layer_norm(images + first_channel * plane + at, plane, norm, channels,
                       out + first_channel * out_plane + at, out_plane);
        }
    }
}

/* Whether this library multiplies in bf16. */
int64_t has_bf16(void) {
#ifdef HAS_BF16
    return 1;
#else
    return 0;
#endif
}
