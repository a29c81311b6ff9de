/* Whether this library multiplies by AMX, and one product by itself. */

#include "amx.h"

#ifdef COMPILES_AMX

#include <sys/syscall.h>
#include <unistd.h>

#define ARCH_REQ_XCOMP_PERM 0x1023 /* Linux 5.16 and newer, asm/prctl.h */
#define XFEATURE_XTILEDATA 18

static int64_t granted;

/* As the library is loaded, once for all threads: the tiles are 8 KB more to save when they change. An
 * older kernel, or a processor without AMX, says no. */
__attribute__((constructor)) static void ask_for_tiles(void) {
    granted = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

int64_t has_amx(void) { return granted; }

#elif defined(HAS_BF16)

int64_t has_amx(void) { return uses_amx(); }

#else

int64_t has_amx(void) { return 0; }

#endif

#ifdef HAS_BF16

/* sums += a . b of one tile each, rows of 64 bytes: what a processor, or the emulation, makes of it. */
void amx_product(const void *a, const void *b, float *sums) {
    if (!uses_amx()) return;
    begin_tiles();
    WRITTEN();
    tile_load(0, sums, 4 * AMX_TILE);
    tile_load(1, a, 4 * AMX_TILE);
    tile_load(2, b, 4 * AMX_TILE);
    tile_multiply(0, 1, 2);
    tile_store(0, sums, 4 * AMX_TILE);
    end_tiles();
}

#endif
