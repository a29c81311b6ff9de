/* Window attention of whole images with its gradients, for training.
 *
 * Reads queries, keys and values (N, H, W, 3 * heads * width) and writes (N, H, W, heads * width),
 * rolled and cut into windows on the way: no copy of an image is made. Of a window and head all that
 * is computed stays in the cache, also on the way back, where the attention is computed again
 * instead of having been kept. Scores are in units of log 2.
 */

#include <stdlib.h>

#include "attention.h"

#define MAX_WIDTH 64
#define LOG2_E 1.44269504f
#define LN_2 0.69314718f
#define MASKED (-100.0f * LOG2_E)
/* Before a loop over channels, whose pixels lie apart: Clang's vectors of them take twice the time. */
#if defined(__clang__)
#define ONE_BY_ONE _Pragma("clang loop vectorize(disable)")
#else
#define ONE_BY_ONE
#endif

typedef struct {
    int64_t images, height, width, heads, head_width, shift, bf16;
} Shape;

/* A window: where its pixels lie, and what of one head is computed. Rows of 64 pixels. */
typedef struct {
    int64_t pixel[PIXELS];
    float q[MAX_WIDTH * PIXELS], k[MAX_WIDTH * PIXELS], v[MAX_WIDTH * PIXELS];
    float out[MAX_WIDTH * PIXELS], dq[MAX_WIDTH * PIXELS], dk[MAX_WIDTH * PIXELS];
    float p[PIXELS * PIXELS], ds[PIXELS * PIXELS], mask[3][PIXELS * PIXELS];
} Work;

INLINE float widened(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

INLINE uint16_t narrowed(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (x != x) return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* Channels from `first` on of a window's pixels, as rows of pixels. */
INLINE void gather(const Shape *s, const void *images, int64_t channels, int64_t first,
                   const int64_t *pixel, float factor, float *rows) {
    for (int p = 0; p < PIXELS; p++) {
        int64_t at = pixel[p] * channels + first;
        if (s->bf16)
ONE_BY_ONE
            for (int64_t c = 0; c < s->head_width; c++)
                rows[c * PIXELS + p] = factor * widened(((const uint16_t *)images)[at + c]);
        else
ONE_BY_ONE
            for (int64_t c = 0; c < s->head_width; c++)
                rows[c * PIXELS + p] = factor * ((const float *)images)[at + c];
    }
}

INLINE void scatter(const Shape *s, void *images, int64_t channels, int64_t first,
                    const int64_t *pixel, float factor, const float *rows) {
    for (int p = 0; p < PIXELS; p++) {
        int64_t at = pixel[p] * channels + first;
        if (s->bf16)
ONE_BY_ONE
            for (int64_t c = 0; c < s->head_width; c++)
                ((uint16_t *)images)[at + c] = narrowed(factor * rows[c * PIXELS + p]);
        else
ONE_BY_ONE
            for (int64_t c = 0; c < s->head_width; c++)
                ((float *)images)[at + c] = factor * rows[c * PIXELS + p];
    }
}

/* p[key][query], the attention: what a query takes of each key, 1 in all. */
static void weigh(const Shape *s, Work *w, const float *bias, const float *mask) {
    for (int at = 0; at < PIXELS; at += BLOCK) {
        vec most[SPAN], total[SPAN];
        for (int i = 0; i < SPAN; i++) most[i] = all(-3e38f), total[i] = all(0);
        for (int key = 0; key < PIXELS; key += 4)
            four_keys(w->q, w->k, bias, mask, s->head_width, at, key, PIXELS, w->p + at, most);
        for (int key = 0; key < PIXELS; key++)
UNROLLED
            for (int i = 0; i < SPAN; i++) {
                float *score = w->p + key * PIXELS + at + i * LANES;
                vec e = exp2_of(larger(load(score) - most[i], all(-126.0f)));
                total[i] += e;
                store(score, e);
            }
        for (int i = 0; i < SPAN; i++) total[i] = all(1.0f) / total[i];
        for (int key = 0; key < PIXELS; key++)
UNROLLED
            for (int i = 0; i < SPAN; i++) {
                float *score = w->p + key * PIXELS + at + i * LANES;
                store(score, load(score) * total[i]);
            }
    }
}

/* out[c][query] = sum over keys of rows[c][key] * m[key][query]. */
static void combine(int64_t count, const float *rows, const float *m, float *out) {
    for (int at = 0; at < PIXELS; at += BLOCK) {
        vec one[SPAN];
        for (int i = 0; i < SPAN; i++) one[i] = all(1.0f);
        int64_t c = 0;
        for (; c + 4 <= count; c += 4)
            some_values(4, rows + c * PIXELS, m + at, PIXELS, one, out + c * PIXELS + at);
        for (; c < count; c++)
            some_values(1, rows + c * PIXELS, m + at, PIXELS, one, out + c * PIXELS + at);
    }
}

/* The sum of each of LANES rows, as one vector. */
INLINE vec sum_rows(const vec *row) {
#if defined(__AVX512F__)
    __m512 four[4], two[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512 a = (__m512)row[4 * i], b = (__m512)row[4 * i + 1];
        __m512 c = (__m512)row[4 * i + 2], d = (__m512)row[4 * i + 3];
        __m512d ab = _mm512_castps_pd(
            _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
        __m512d cd = _mm512_castps_pd(
            _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
        four[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                                _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        two[i] = _mm512_add_ps(_mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0x44),
                               _mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0xee));
    return (vec)_mm512_add_ps(_mm512_shuffle_f32x4(two[0], two[1], 0x88),
                              _mm512_shuffle_f32x4(two[0], two[1], 0xdd));
#elif defined(__AVX__)
    __m256 four[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        four[i] = _mm256_hadd_ps(_mm256_hadd_ps((__m256)row[4 * i], (__m256)row[4 * i + 1]),
                                 _mm256_hadd_ps((__m256)row[4 * i + 2], (__m256)row[4 * i + 3]));
    return (vec)_mm256_add_ps(_mm256_permute2f128_ps(four[0], four[1], 0x20),
                              _mm256_permute2f128_ps(four[0], four[1], 0x31));
#else
    vec out;
    for (int i = 0; i < LANES; i++) {
        float sum = 0;
        for (int j = 0; j < LANES; j++) sum += row[i][j];
        out[i] = sum;
    }
    return out;
#endif
}

/* out[c][key] = sum over queries of rows[c][query] * m[key][query]. */
static void spread(int64_t count, const float *rows, const float *m, float *out) {
    for (int64_t c = 0; c < count; c++)
        for (int key = 0; key < PIXELS; key += LANES) {
            vec sum[LANES], in[PIXELS / LANES];
            for (int i = 0; i < PIXELS / LANES; i++) in[i] = load(rows + c * PIXELS + i * LANES);
UNROLLED
            for (int j = 0; j < LANES; j++) {
                const float *row = m + (key + j) * PIXELS;
                sum[j] = load(row) * in[0];
UNROLLED
                for (int i = 1; i < PIXELS / LANES; i++) sum[j] += load(row + i * LANES) * in[i];
            }
            store(out + c * PIXELS + key, sum_rows(sum));
        }
}

/* ds[key][query] = p (dp - sum over keys of p dp), where dp[key][query] = v[.][key] . dout[.][query],
 * added to dbias as well. `dout` lies in w->out. */
static void differentiate(const Shape *s, Work *w, float *dbias) {
    for (int at = 0; at < PIXELS; at += BLOCK) {
        vec unused[SPAN], mean[SPAN];
        for (int i = 0; i < SPAN; i++) unused[i] = mean[i] = all(0);
        static const float nothing[PIXELS * PIXELS];
        for (int key = 0; key < PIXELS; key += 4)
            four_keys(w->out, w->v, nothing, 0, s->head_width, at, key, PIXELS, w->ds + at, unused);
        for (int key = 0; key < PIXELS; key++)
UNROLLED
            for (int i = 0; i < SPAN; i++) {
                int64_t where = key * PIXELS + at + i * LANES;
                mean[i] += load(w->p + where) * load(w->ds + where);
            }
        for (int key = 0; key < PIXELS; key++)
UNROLLED
            for (int i = 0; i < SPAN; i++) {
                int64_t where = key * PIXELS + at + i * LANES;
                vec ds = load(w->p + where) * (load(w->ds + where) - mean[i]);
                store(w->ds + where, ds);
                store(dbias + where, load(dbias + where) + ds);
            }
    }
}

/* The three masks of shifted windows: of the last column, of the last row, of the corner. */
static void make_masks(Work *w) {
    for (int part = 1; part < 4; part++)
        for (int a = 0; a < PIXELS; a++)
            for (int b = 0; b < PIXELS; b++) {
                int beside = (part & 1) && (a % WINDOW >= WINDOW / 2) != (b % WINDOW >= WINDOW / 2);
                int below = (part & 2) && (a / WINDOW >= WINDOW / 2) != (b / WINDOW >= WINDOW / 2);
                w->mask[part - 1][a * PIXELS + b] = beside || below ? MASKED : 0;
            }
}

/* Finds a window's pixels in the image that it is rolled from; returns its mask, if it has one. */
static const float *place(const Shape *s, Work *w, int64_t image, int64_t y, int64_t x) {
    for (int p = 0; p < PIXELS; p++) {
        int64_t row = (y + p / WINDOW + s->shift) % s->height;
        int64_t column = (x + p % WINDOW + s->shift) % s->width;
        w->pixel[p] = (image * s->height + row) * s->width + column;
    }
    int part = (x + WINDOW == s->width) + 2 * (y + WINDOW == s->height);
    return s->shift && part ? w->mask[part - 1] : 0;
}

int64_t attention_work(void) { return sizeof(Work); }

/* bias: [head][key][query], times log2 e. */
void attend_images(const Shape *s, const void *qkv, const float *bias, void *out, void *work) {
    Work *w = work;
    int64_t channels = s->heads * s->head_width;
    float factor = LOG2_E / __builtin_sqrtf((float)s->head_width);
    make_masks(w);
    for (int64_t n = 0; n < s->images; n++)
        for (int64_t y = 0; y < s->height; y += WINDOW)
            for (int64_t x = 0; x < s->width; x += WINDOW) {
                const float *mask = place(s, w, n, y, x);
                for (int64_t h = 0; h < s->heads; h++) {
                    int64_t first = h * s->head_width;
                    gather(s, qkv, 3 * channels, first, w->pixel, factor, w->q);
                    gather(s, qkv, 3 * channels, channels + first, w->pixel, 1, w->k);
                    gather(s, qkv, 3 * channels, 2 * channels + first, w->pixel, 1, w->v);
                    weigh(s, w, bias + h * PIXELS * PIXELS, mask);
                    combine(s->head_width, w->v, w->p, w->out);
                    scatter(s, out, channels, first, w->pixel, 1, w->out);
                }
            }
}

/* dbias, laid out as bias and not scaled, is added to. */
void attend_images_back(const Shape *s, const void *qkv, const float *bias, const void *dout,
                        void *dqkv, float *dbias, void *work) {
    Work *w = work;
    int64_t channels = s->heads * s->head_width;
    float factor = 1 / __builtin_sqrtf((float)s->head_width);
    make_masks(w);
    for (int64_t n = 0; n < s->images; n++)
        for (int64_t y = 0; y < s->height; y += WINDOW)
            for (int64_t x = 0; x < s->width; x += WINDOW) {
                const float *mask = place(s, w, n, y, x);
                for (int64_t h = 0; h < s->heads; h++) {
                    int64_t first = h * s->head_width;
                    gather(s, qkv, 3 * channels, first, w->pixel, LOG2_E * factor, w->q);
                    gather(s, qkv, 3 * channels, channels + first, w->pixel, 1, w->k);
                    gather(s, qkv, 3 * channels, 2 * channels + first, w->pixel, 1, w->v);
                    gather(s, dout, channels, first, w->pixel, 1, w->out);
                    weigh(s, w, bias + h * PIXELS * PIXELS, mask);
                    differentiate(s, w, dbias + h * PIXELS * PIXELS);
                    combine(s->head_width, w->k, w->ds, w->dq);
                    scatter(s, dqkv, 3 * channels, first, w->pixel, factor, w->dq);
                    spread(s->head_width, w->q, w->ds, w->dk);
                    scatter(s, dqkv, 3 * channels, channels + first, w->pixel, LN_2, w->dk);
                    spread(s->head_width, w->out, w->p, w->dk);
                    scatter(s, dqkv, 3 * channels, 2 * channels + first, w->pixel, 1, w->dk);
                }
            }
}
