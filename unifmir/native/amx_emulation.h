/* AMX's instructions on tiles in plain C, as Intel's manual says (Software Developer's Manual, volume
 * 2, LDTILECFG and TDPBF16PS): for tests, on processors without them.
 *
 * What the processor answers with a fault, tiles without a shape or of unlike shapes, ends the process.
 */

#pragma once

#include <float.h>
#include <math.h>

#define REQUIRE(condition)                                                                         \
    if (!(condition)) __builtin_trap()

typedef struct {
    uint8_t row[16][64];
} EmulatedTile;

static _Thread_local EmulatedTile emulated_tile[8];
static _Thread_local TileConfig emulated_config;

INLINE void tile_release(void) { memset(&emulated_config, 0, sizeof emulated_config); }

INLINE void tile_zero(int t) {
    REQUIRE(emulated_config.palette == 1 && emulated_config.rows[t]);
    memset(&emulated_tile[t], 0, sizeof emulated_tile[t]);
}

INLINE void tile_configure(const TileConfig *config) {
    REQUIRE(sizeof *config == 64 && config->palette == 1);
    for (int t = 0; t < 16; t++) {
        REQUIRE(config->rows[t] <= 16 && config->row_bytes[t] <= 64);
        REQUIRE(!config->rows[t] == !config->row_bytes[t] && (t < 8 || !config->rows[t]));
    }
    emulated_config = *config;
    memset(emulated_tile, 0, sizeof emulated_tile);
}

INLINE void tile_load(int t, const void *from, int64_t stride) {
    tile_zero(t);
    for (int r = 0; r < emulated_config.rows[t]; r++)
        memcpy(emulated_tile[t].row[r], (const char *)from + r * stride, emulated_config.row_bytes[t]);
}

INLINE void tile_store(int t, void *to, int64_t stride) {
    REQUIRE(emulated_config.palette == 1 && emulated_config.rows[t]);
    for (int r = 0; r < emulated_config.rows[t]; r++)
        memcpy((char *)to + r * stride, emulated_tile[t].row[r], emulated_config.row_bytes[t]);
}

/* What is denormal counts as zero, as input and as output. */
INLINE float flushed(float x) { return fabsf(x) < FLT_MIN ? copysignf(0, x) : x; }

/* The first and second numbers of each pair of a tile, in fp32. */
INLINE void widened(const EmulatedTile *tile, float first[16][16], float second[16][16]) {
    for (int r = 0; r < 16; r++)
        for (int n = 0; n < 16; n++) {
            uint32_t both_bits, high;
            memcpy(&both_bits, tile->row[r] + 4 * n, sizeof both_bits);
            high = both_bits << 16;
            memcpy(&first[r][n], &high, sizeof high);
            high = both_bits & 0xffff0000;
            memcpy(&second[r][n], &high, sizeof high);
            first[r][n] = flushed(first[r][n]);
            second[r][n] = flushed(second[r][n]);
        }
}

/* Sums of the first and of the second products each by fused additions from zero; then both are added,
 * and that to what was there. */
INLINE void tile_multiply(int sums, int a, int b) {
    const TileConfig *shape = &emulated_config;
    const int pairs = shape->row_bytes[a] / 4;
    float a_first[16][16], a_second[16][16], b_first[16][16], b_second[16][16];
    REQUIRE(shape->palette == 1 && shape->rows[sums] == shape->rows[a] && pairs == shape->rows[b] &&
            shape->row_bytes[sums] == shape->row_bytes[b] && pairs && shape->rows[a]);
    widened(&emulated_tile[a], a_first, a_second);
    widened(&emulated_tile[b], b_first, b_second);
    for (int m = 0; m < shape->rows[sums]; m++) {
        float even[16] = {0}, odd[16] = {0}, sum[16];
        for (int k = 0; k < pairs; k++)
            for (int n = 0; n < 16; n++) {
                even[n] = flushed(fmaf(a_first[m][k], b_first[k][n], even[n]));
                odd[n] = flushed(fmaf(a_second[m][k], b_second[k][n], odd[n]));
            }
        memcpy(sum, emulated_tile[sums].row[m], sizeof sum);
        for (int n = 0; n < 16; n++) sum[n] = flushed(flushed(sum[n]) + flushed(even[n] + odd[n]));
        memcpy(emulated_tile[sums].row[m], sum, shape->row_bytes[sums]);
    }
}
