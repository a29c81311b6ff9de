/* Products in bf16 by AMX, which processors from Intel's Sapphire Rapids on have.
 *
 * A tile is 16 rows of 64 bytes: of weights, 16 rows of 16 pairs; of pixels, 16 pairs of rows of 16
 * pixels, as they lie anyway ("pairs", vectors.h); of sums, 16 rows of 16 floats. One instruction,
 * TDPBF16PS, adds the products of the first two to the third. Weights and pixels are filled up with
 * zeros to whole tiles. One tile of weights meets four of pixels: five loads, of 8 cycles each as Intel
 * says, for four products of 16.
 *
 * AMX is compiled where the processor has it, and used where the kernel lets this process (amx.c).
 * With EMULATE_AMX the same products run on any processor with AVX512_BF16, for tests: this never ran
 * on a processor with AMX. In all other libraries uses_amx() is 0, and the compiler drops the rest.
 */

#pragma once

#include "vectors.h"

#ifdef HAS_BF16

#define AMX_TILE 16 /* rows of a tile; pairs, or floats, of a row */
#define BAND 48     /* rows of weights that lie together: whole sixes, and whole tiles */

/* Pairs or rows, filled up to whole tiles. */
INLINE int64_t in_tiles(int64_t count) { return (count + AMX_TILE - 1) / AMX_TILE * AMX_TILE; }

/* What LDTILECFG reads. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileConfig;

#define EIGHT(n) {n, n, n, n, n, n, n, n}
static const TileConfig whole_tiles = {1, 0, {0}, EIGHT(4 * AMX_TILE), EIGHT(AMX_TILE)};

#if defined(EMULATE_AMX)
INLINE int64_t uses_amx(void) { return 1; }
#elif defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__linux__)
#define COMPILES_AMX
int64_t has_amx(void);
INLINE int64_t uses_amx(void) { return has_amx(); }
#else
INLINE int64_t uses_amx(void) { return 0; }
#endif

#ifdef COMPILES_AMX
/* GCC's intrinsics do not say that they read memory: what was written before must not come after. */
#define WRITTEN() __asm__ volatile("" ::: "memory")
#define tile_configure(config) _tile_loadconfig(config)
#define tile_release() _tile_release()
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, from, stride) _tile_loadd(t, from, stride)
#define tile_store(t, to, stride) _tile_stored(t, to, stride)
#define tile_multiply(sums, a, b) _tile_dpbf16ps(sums, a, b)
#else
#include "amx_emulation.h"
#define WRITTEN()
#endif

/* Before products, and after them, in each thread. */
INLINE void begin_tiles(void) {
    if (uses_amx()) tile_configure(&whole_tiles);
}

INLINE void end_tiles(void) {
    if (uses_amx()) tile_release();
}

/* out[row][pixel] = w[row] . x[.][pixel], sixteen rows and `span` tiles of pixels.
 *
 * A row of weights begins `row` pairs after the one before it, its next tile `next` pairs on. Rows of x
 * are `many` pairs long; `pairs` is a multiple of 16. Numbers of tiles must be literals. */
INLINE void multiply_amx(const int span, const pair *w, int64_t row, int64_t next, const pair *x,
                         int64_t many, int64_t pairs, float *out, int64_t out_row) {
    const int64_t weights = row * sizeof(pair), pixels = many * sizeof(pair);
    const int64_t sums = out_row * sizeof(float);
    WRITTEN();
    tile_zero(0);
    if (span > 1) tile_zero(1);
    if (span > 2) tile_zero(2);
    if (span > 3) tile_zero(3);
    for (int64_t k = 0; k < pairs; k += AMX_TILE, w += next, x += AMX_TILE * many) {
        tile_load(4, w, weights);
        tile_load(5, x, pixels);
        tile_multiply(0, 4, 5);
        if (span > 1) {
            tile_load(6, x + AMX_TILE, pixels);
            tile_multiply(1, 4, 6);
        }
        if (span > 2) {
            tile_load(7, x + 2 * AMX_TILE, pixels);
            tile_multiply(2, 4, 7);
        }
        if (span > 3) {
            tile_load(5, x + 3 * AMX_TILE, pixels);
            tile_multiply(3, 4, 5);
        }
    }
    tile_store(0, out, sums);
    if (span > 1) tile_store(1, out + AMX_TILE, sums);
    if (span > 2) tile_store(2, out + 2 * AMX_TILE, sums);
    if (span > 3) tile_store(3, out + 3 * AMX_TILE, sums);
}

#endif
