/* 3 x 3 convolutions of many channels by Winograd's F(4 x 2, 3 x 3), with products in bf16: 24 of
 * them where 72 are due, and two at once.
 *
 * As winograd.c, with tiles of 4 rows and 2 columns, that read 6 x 4 pixels: across at the points 0,
 * 1, -1 and infinity, down at 0, 11/16, -11/16, 23/16, -23/16 and infinity. What is rounded are an
 * image and a kernel at the points, and what that does to a convolution grows with a tile: where
 * neighbours correlate by 0.8, it is 1.2 times the error of a convolution written out in bf16 for
 * tiles of 2 x 2, 1.6 times for these and 2.2 for 4 x 4. These points down make the least of it.
 *
 * What a channel's pixels have in common, `centre`, is taken off them and off the zeros around the
 * image before anything is rounded; what the kernel makes of it is in the bias.
 *
 * All points of six channels out are computed together, or of sixteen by AMX (amx.h), so that their
 * sums stay in the cache until they are outputs. Weights: a matrix as block.h says for each point,
 * [out / 48][point][in / 32][48][16] pairs.
 */

#include <stdatomic.h>

#include "amx.h"
#include "conv.h"

#ifdef HAS_BF16

#define HIGH 4 /* outputs of a tile, down and across */
#define WIDE 2
#define DOWN 6 /* inputs */
#define ACROSS 4
#define POINTS (DOWN * ACROSS)
#define TILES 64 /* that are computed together, at most */

#define A 0.6875f
#define B 1.4375f
#define A2 (A * A)
#define B2 (B * B)

/* Part of an image, in tiles. */
typedef struct {
    int64_t top, left, down, across;
    int64_t many; /* tiles, filled up to whole vectors */
} Part;

typedef struct {
    int64_t height, width, plane; /* plane: floats between two channels */
} Size;

INLINE int64_t filled(int64_t tiles) { return (tiles + LANES - 1) / LANES * LANES; }
INLINE int64_t pairs_of(const Conv *c) { return (c->in + 1) / 2; }

/* Pairs between two points: not a power of two, or all would lie in the same lines of a cache. */
INLINE int64_t apart(const Conv *c, int64_t many) {
    return in_tiles(pairs_of(c)) * many + LANES;
}

/* Floats of the planes of one channel's pixels that have the same place in their tiles. */
INLINE int64_t place_of(int64_t down, int64_t across) {
    return filled((down + 1) * across) + 2 * LANES;
}

#define MOST_PLACE (2 * TILES + 4 * LANES)

/* Floats of memory a thread needs. */
int64_t winograd_bf16_work(const Conv *c) {
    return POINTS * apart(c, TILES) + 2 * HIGH * ACROSS * MOST_PLACE + POINTS * AMX_TILE * TILES +
           HIGH * WIDE * TILES;
}

INLINE vec from_two(vec a, vec b, int start, int step) {
    ivec lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (vec)_mm512_permutex2var_ps((__m512)a, (__m512i)(lanes * step + start), (__m512)b);
}

/* Which of sixteen pixels from `at` on are among the first `width` of a row. */
INLINE __mmask16 inside(int64_t at, int64_t width) {
    const int64_t before = at < 0 ? -at : 0, left = width - at;
    const int64_t until = left < 0 ? 0 : left < LANES ? left : LANES;
    return (__mmask16)(((1u << until) - 1) & ~((1u << (before < LANES ? before : LANES)) - 1));
}

/* One channel's pixels by their place in a tile, [4 rows][4 columns][tile], less the centre. Whole
 * vectors are written: what is too much is overwritten by the next row, or not read. Around the image
 * are zeros, which are not in memory. */
INLINE void sort_pixels(const float *image, Size size, Part p, float centre, float *out) {
    const int64_t place = place_of(p.down, p.across), left = WIDE * p.left - 1;
    const vec outside = all(-centre);
    __mmask16 within[2 * TILES * WIDE / LANES + 2];
    for (int64_t i = 0; i * LANES < WIDE * p.across + LANES; i++)
        for (int column = 0; column < ACROSS; column += WIDE)
            within[i * WIDE + column / WIDE] = inside(left + column + i * LANES, size.width);
    for (int64_t down = 0; down < HIGH * p.down + 2; down++) {
        const int64_t y = HIGH * p.top + down - 1;
        const float *row = image + y * size.width + left;
        float *to = out + down % HIGH * ACROSS * place + down / HIGH * p.across;
        for (int64_t tile = 0; tile < p.across; tile += LANES)
            for (int column = 0; column < ACROSS; column += WIDE) {
                vec a = outside, b = outside;
                if (y >= 0 && y < size.height) {
                    const __mmask16 *mask = within + WIDE * tile / LANES * WIDE + column / WIDE;
                    const float *pixels = row + WIDE * tile + column;
                    a += (vec)_mm512_maskz_loadu_ps(mask[0], pixels);
                    b += (vec)_mm512_maskz_loadu_ps(mask[WIDE], pixels + LANES);
                }
                store(to + column * place + tile, from_two(a, b, 0, 2));
                store(to + (column + 1) * place + tile, from_two(a, b, 1, 2));
            }
    }
}

INLINE void image_points_down(const vec *d, vec *out, int64_t step) {
    vec even = d[4] - all(B2) * d[2], odd = all(A) * d[3] - all(A * B2) * d[1];
    out[0] = all(A2 * B2) * d[0] - all(A2 + B2) * d[2] + d[4];
    out[step] = even + odd;
    out[2 * step] = even - odd;
    even = d[4] - all(A2) * d[2], odd = all(B) * d[3] - all(B * A2) * d[1];
    out[3 * step] = even + odd;
    out[4 * step] = even - odd;
    out[5 * step] = all(A2 * B2) * d[1] - all(A2 + B2) * d[3] + d[5];
}

INLINE void image_points_across(const vec *d, vec *out) {
    out[0] = d[2] - d[0];
    out[1] = d[1] + d[2];
    out[2] = d[2] - d[1];
    out[3] = d[3] - d[1];
}

/* Sixteen tiles of one channel: six rows of four points. */
INLINE void tiles_down(const float *sorted, int64_t place, int64_t across, vec *out) {
#pragma GCC unroll 4
    for (int x = 0; x < ACROSS; x++) {
        vec column[DOWN];
#pragma GCC unroll 6
        for (int y = 0; y < DOWN; y++)
            column[y] = load(sorted + (y % HIGH * ACROSS + x) * place + y / HIGH * across);
        image_points_down(column, out + x, ACROSS);
    }
}

/* A part of an image at the points, [point][in / 2][tile] pairs, filled up to whole tiles of AMX. */
static void image_to_points(const Conv *c, const float *centre, const float *image, Size size, Part p,
                            float *work, pair *out) {
    const int64_t place = place_of(p.down, p.across), step = apart(c, p.many);
    const int64_t pairs = pairs_of(c), more = in_tiles(pairs) - pairs;
    for (int point = 0; more && point < POINTS; point++)
        memset(out + point * step + pairs * p.many, 0, more * p.many * sizeof(pair));
    float *second = work + HIGH * ACROSS * place;
    for (int64_t channel = 0; channel < c->in; channel += 2) {
        const int alone = channel + 1 == c->in;
        sort_pixels(image + channel * size.plane, size, p, centre[channel], work);
        if (!alone)
            sort_pixels(image + (channel + 1) * size.plane, size, p, centre[channel + 1], second);
        for (int64_t at = 0; at < p.many; at += LANES) {
            vec even[POINTS], odd[POINTS] = {{0}};
            tiles_down(work + at, place, p.across, even);
            if (!alone) tiles_down(second + at, place, p.across, odd);
            pair *to = out + channel / 2 * p.many + at;
#pragma GCC unroll 6
            for (int y = 0; y < POINTS; y += ACROSS) {
                vec first[ACROSS], other[ACROSS];
                image_points_across(even + y, first);
                image_points_across(odd + y, other);
#pragma GCC unroll 4
                for (int x = 0; x < ACROSS; x++) store_pairs(to + (y + x) * step, first[x], other[x]);
            }
        }
    }
}

/* out = kernel . in at one point, six channels out and `span` vectors of tiles. */
INLINE void six_outputs(const int span, const pair *w, const pair *x, int64_t pairs, int64_t many,
                        float *out) {
    const int64_t next_point = BAND * in_tiles(pairs);
    vec sum[ROWS][SPAN];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int s = 0; s < span; s++) sum[r][s] = all(0);
    for (; pairs > 0; pairs -= AMX_TILE, w += BAND * AMX_TILE) {
        const int64_t here = pairs < AMX_TILE ? pairs : AMX_TILE;
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) __builtin_prefetch(w + next_point + r * AMX_TILE);
        for (int64_t k = 0; k < here; k++, x += many)
            add_products_bf16(ROWS, span, w + k, AMX_TILE, x, sum);
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int s = 0; s < span; s++) store(out + r * TILES + s * LANES, sum[r][s]);
}

/* The same of as many channels out as are computed together: six, or sixteen by AMX. */
INLINE void outputs(int together, const int span, const pair *w, const pair *x, int64_t pairs,
                    int64_t many, float *out) {
    if (together == AMX_TILE)
        multiply_amx(span, w, AMX_TILE, BAND * AMX_TILE, x, many, in_tiles(pairs), out, TILES);
    else
        six_outputs(span, w, x, pairs, many, out);
}

/* Some channels out, from `first` on, at all points: [point][together][tile]. */
static void multiply(const Conv *c, int together, int64_t first, Part p, const pair *in, float *out) {
    const int64_t pairs = pairs_of(c), plane = BAND * in_tiles(pairs), step = apart(c, p.many);
    const pair *w = (const pair *)c->weights + first / BAND * POINTS * plane + first % BAND * AMX_TILE;
    for (int point = 0; point < POINTS; point++, w += plane, out += together * TILES) {
        const pair *x = in + point * step;
        switch (p.many / LANES) {
        case 1: outputs(together, 1, w, x, pairs, p.many, out); break;
        case 2: outputs(together, 2, w, x, pairs, p.many, out); break;
        case 3: outputs(together, 3, w, x, pairs, p.many, out); break;
        default: outputs(together, 4, w, x, pairs, p.many, out);
        }
    }
}

INLINE void outputs_down(const vec *m, vec *out, int64_t step) {
    vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    out[0] = m[0] + even_a + even_b;
    out[step] = all(A) * odd_a + all(B) * odd_b;
    out[2 * step] = all(A2) * even_a + all(B2) * even_b;
    out[3 * step] = all(A2 * A) * odd_a + all(B2 * B) * odd_b + m[5];
}

/* One channel from the points, [4 rows][tile][2 columns]. */
static void points_to_outputs(const Conv *c, int together, const float *in, float bias, int64_t many,
                              float *out) {
    for (int64_t at = 0; at < many; at += LANES) {
        vec half[HIGH * ACROSS];
#pragma GCC unroll 4
        for (int x = 0; x < ACROSS; x++) {
            vec column[DOWN];
#pragma GCC unroll 6
            for (int y = 0; y < DOWN; y++)
                column[y] = load(in + (ACROSS * y + x) * together * TILES + at);
            outputs_down(column, half + x, ACROSS);
        }
#pragma GCC unroll 4
        for (int y = 0; y < HIGH; y++) {
            const vec *m = half + ACROSS * y;
            vec row[WIDE] = {m[0] + m[1] + m[2], m[1] - m[2] + m[3]};
#pragma GCC unroll 2
            for (int x = 0; x < WIDE; x++) {
                row[x] += all(bias);
                if (c->after != NOTHING)
                    row[x] = select_vec(row[x] > all(0), row[x], row[x] * all(c->slope));
            }
            float *to = out + WIDE * (y * TILES + at);
            const ivec low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
            store(to, (vec)_mm512_permutex2var_ps((__m512)row[0], (__m512i)low, (__m512)row[1]));
            store(to + LANES, (vec)_mm512_permutex2var_ps((__m512)row[0], (__m512i)(low + 8),
                                                          (__m512)row[1]));
        }
    }
}

/* One channel's outputs to the image. */
static void place_outputs(const float *computed, Size size, Part p, const float *add, float *image) {
    const int64_t left = WIDE * p.left, across = WIDE * p.across;
    const int64_t wide = left + across < size.width ? across : size.width - left;
    for (int64_t row = 0; row < HIGH * p.down && HIGH * p.top + row < size.height; row++) {
        const float *from = computed + row % HIGH * WIDE * TILES + row / HIGH * across;
        const int64_t where = (HIGH * p.top + row) * size.width + left;
        if (add)
            for (int64_t x = 0; x < wide; x++) image[where + x] = from[x] + add[where + x];
        else
            memcpy(image + where, from, wide * sizeof(float));
    }
}

static void part_of_image(const Conv *c, int together, const float *centre, const float *image,
                          Size size, Part p, const float *add, float *out, int64_t out_plane,
                          float *work) {
    pair *in = (pair *)work;
    float *sums = work + POINTS * apart(c, TILES), *computed = sums + POINTS * together * TILES;
    image_to_points(c, centre, image, size, p, computed + HIGH * WIDE * TILES, in);
    for (int64_t first = 0; first < c->out; first += together) {
        multiply(c, together, first, p, in, sums);
        for (int64_t r = 0; r < together && first + r < c->out; r++) {
            const int64_t channel = first + r, where = channel * out_plane;
            points_to_outputs(c, together, sums + r * TILES, c->bias[channel], p.many, computed);
            place_outputs(computed, size, p, add ? add + where : 0, out + where);
        }
    }
}

/* As conv_images; centre: what is taken off, by channel. */
void winograd_bf16_images(const Conv *c, const float *centre, const float *images, int64_t in_plane,
                          int64_t n, int64_t height, int64_t width, const float *add, float *out,
                          int64_t out_plane, _Atomic int64_t *next, float *work) {
    const int64_t down = (height + HIGH - 1) / HIGH, across = (width + WIDE - 1) / WIDE;
    const int64_t wide = across < TILES ? across : TILES, high = TILES / wide;
    const int64_t rows = (down + high - 1) / high, columns = (across + wide - 1) / wide;
    const Size size = {height, width, in_plane};
    begin_tiles();
    for (;;) {
        int64_t index = atomic_fetch_add(next, 1);
        if (index >= n * rows * columns) break;
        int64_t image = index / columns / rows, where = image * c->out * out_plane;
        Part p = {index / columns % rows * high, index % columns * wide, high, wide, 0};
        if (p.top + p.down > down) p.down = down - p.top;
        if (p.left + p.across > across) p.across = across - p.left;
        p.many = filled(p.down * p.across);
        const float *from = images + image * c->in * in_plane, *more = add ? add + where : 0;
        if (uses_amx())
            part_of_image(c, AMX_TILE, centre, from, size, p, more, out + where, out_plane, work);
        else
            part_of_image(c, ROWS, centre, from, size, p, more, out + where, out_plane, work);
    }
    end_tiles();
}

#endif
