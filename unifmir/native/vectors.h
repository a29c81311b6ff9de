/* Vectors of floats, whatever the processor calls them, and the two functions networks need. */

#pragma once

#include <stdint.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#define WINDOW 8
#define PIXELS 64
#define ROWS 6 /* of a weight matrix that are computed at once; packed so */

#if defined(__AVX512F__)
#define LANES 16
#define SPAN 4 /* vectors of pixels at once: ROWS * SPAN accumulators */
#elif defined(__AVX__)
#define LANES 8
#define SPAN 2
#else
#define LANES 4
#define SPAN 4
#endif

#define BLOCK (SPAN * LANES) /* pixels at once */
#define INLINE static inline __attribute__((always_inline))
#define ALONE static __attribute__((noinline))
/* Before a loop that is written out whole, so that its arrays are registers, of a number of turns that
 * depends on the processor or the caller. GCC has to be told; Clang up to 16 does not do it where it is
 * told a larger number, and does it anyway. */
#if defined(__clang__)
#define UNROLLED
#else
#define UNROLLED _Pragma("GCC unroll 36")
#endif

/* What was loaded stays in its register: GCC else loads it again for each product, and with 16
 * registers (AVX2) has none left for the sums. */
#if defined(__AVX512F__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__SSE__)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define IN_REGISTER(v)
#endif

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }
INLINE vec all(float x) { return x - (vec){0}; }

/* sum[r] += weights[r * step] * the pixels of one channel, of at most six rows and SPAN vectors. */
INLINE void add_products(const int rows, const int span, const float *weights, const int64_t step,
                         const float *from, vec (*sum)[SPAN]) {
    vec in[SPAN];
UNROLLED
    for (int s = 0; s < span; s++) {
        vec pixels = load(from + s * LANES);
        IN_REGISTER(pixels);
        in[s] = pixels;
    }
UNROLLED
    for (int r = 0; r < rows; r++) {
        vec weight = all(weights[r * step]);
UNROLLED
        for (int s = 0; s < span; s++) sum[r][s] += weight * in[s];
    }
}

INLINE vec select_vec(ivec where, vec a, vec b) {
    return (vec)(((ivec)a & where) | ((ivec)b & ~where));
}
/* Without the intrinsics compilers compare and blend, because of NaN and of -0. */
#if defined(__AVX512F__)
INLINE vec larger(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX__)
INLINE vec larger(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
#else
INLINE vec larger(vec a, vec b) { return select_vec(a > b, a, b); }
INLINE vec smaller(vec a, vec b) { return select_vec(a < b, a, b); }
#endif

/* 2^x for -126 <= x <= 0, relative error 2e-7: the integer part goes into the exponent. */
INLINE vec exp2_of(vec x) {
    const vec magic = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vec shifted = x + magic;
    vec r = x - (shifted - magic);
    vec p = all(1.327647115e-03f);
    p = p * r + all(9.675541328e-03f);
    p = p * r + all(5.550713276e-02f);
    p = p * r + all(2.402211972e-01f);
    p = p * r + all(6.931469671e-01f);
    p = p * r + all(1.000000072e+00f);
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

/* x * Phi(x) = max(x, 0) - |x| * Phi(-|x|), absolute error 3e-7: -log2 Phi(-u) is a minimax fit
 * on u < 6, weighted by what an error in it does to the result. */
INLINE vec gelu_of(vec x) {
    vec size = larger(x, -x), u = smaller(size, all(6.0f));
    vec p = all(-3.17749469e-5f);
    p = p * u + all(7.56916383e-4f);
    p = p * u + all(-8.03697595e-3f);
    p = p * u + all(5.33374058e-2f);
    p = p * u + all(4.58834328e-1f);
    p = p * u + all(1.15117711f);
    p = p * u + all(9.99996329e-1f);
    return larger(x, all(0)) - size * exp2_of(-p);
}

/* bf16: two bytes an element, sums in fp32. The instructions that multiply take pairs: elements 2k
 * and 2k + 1 of the sum lie side by side. "Pairs" are [sum / 2][64 pixels][2]; a sum of odd length
 * ends in zeros. */
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
#define HAS_BF16

typedef uint32_t pair __attribute__((may_alias)); /* two bf16 */

INLINE __m512bh both(pair p) {
    __m512i pairs = _mm512_set1_epi32((int)p);
#if defined(__clang__) && (__clang_major__ == 16 || __clang_major__ == 17)
    __asm__("" : "+v"(pairs)); /* seeing what is cast, these two recurse until they crash */
#endif
    return (__m512bh)pairs;
}
INLINE vec dot(vec sum, __m512bh a, __m512bh b) {
    return (vec)_mm512_dpbf16_ps((__m512)sum, a, b);
}

/* As add_products, of pairs. */
INLINE void add_products_bf16(const int rows, const int span, const pair *weights,
                              const int64_t step, const pair *from, vec (*sum)[SPAN]) {
    __m512bh in[SPAN];
UNROLLED
    for (int s = 0; s < span; s++) {
        __m512i pairs = _mm512_loadu_si512(from + s * LANES);
        IN_REGISTER(pairs);
        in[s] = (__m512bh)pairs;
    }
UNROLLED
    for (int r = 0; r < rows; r++) {
        __m512bh weight = both(weights[r * step]);
UNROLLED
        for (int s = 0; s < span; s++) sum[r][s] = dot(sum[r][s], weight, in[s]);
    }
}

/* Two rows of 16 pixels side by side. */
INLINE void store_pairs(pair *to, vec even, vec odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                           8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, halves));
}

/* exp2_of and gelu_of for numbers that are rounded to bf16 next, by 2e-3: relative error 3e-6, and
 * absolute error 1e-5. With an error of 8e-5 in the weights of softmax, intensities shift by up to a
 * thousandth. */
INLINE vec exp2_roughly(vec x) {
    vec r = (vec)_mm512_reduce_ps((__m512)x, 1); /* x - floor(x) */
    vec p = all(1.353417e-02f);
    p = p * r + all(5.201146e-02f);
    p = p * r + all(2.4144275e-01f);
    p = p * r + all(6.9300384e-01f);
    p = p * r + all(1.00000259f);
    return (vec)_mm512_scalef_ps((__m512)p, (__m512)x);
}

INLINE vec gelu_roughly(vec x) {
    vec size = larger(x, -x), u = smaller(size, all(6.0f));
    vec p = all(-3.92055034e-3f);
    p = p * u + all(4.43912945e-2f);
    p = p * u + all(4.67413922e-1f);
    p = p * u + all(1.14782081f);
    p = p * u + all(1.00037405f);
    return larger(x, all(0)) - size * exp2_roughly(-p);
}

/* Rows of fp32 as pairs. */
INLINE void pair_rows(const float *rows, int64_t count, pair *out) {
    for (int64_t r = 0; r < count; r += 2)
        for (int at = 0; at < PIXELS; at += LANES)
            store_pairs(out + r / 2 * PIXELS + at, load(rows + r * PIXELS + at),
                        r + 1 < count ? load(rows + (r + 1) * PIXELS + at) : all(0));
}

/* Rows of fp32 as bf16, each row for itself. */
INLINE void narrow_rows(const float *rows, int64_t count, uint16_t *out) {
    for (int64_t i = 0; i < count * PIXELS; i += 2 * LANES)
        _mm512_storeu_si512(out + i, (__m512i)_mm512_cvtne2ps_pbh((__m512)load(rows + i + LANES),
                                                                  (__m512)load(rows + i)));
}

#endif
