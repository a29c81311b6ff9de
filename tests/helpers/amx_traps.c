/* AMX's own instructions on a processor without them: each ends in SIGILL, and its handler does by
 * unifmir/native/amx_emulation.h what the bytes say, so that what the compiler made of the kernels is
 * run, registers, addresses, order and all.
 *
 * Compiled into one library with the kernels, which ask `always_granted` in place of the kernel. */

#define _GNU_SOURCE
#define EMULATE_AMX

#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

#include "amx.h"

enum { NONE, X66, XF3, XF2 }; /* prefixes, as VEX has them */

static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15};
static struct sigaction before;
int64_t trapped; /* instructions */

/* What ModRM, SIB and displacement name; `at` goes on to what follows them. */
static char *address(const greg_t *values, const uint8_t **at, int x, int b, int64_t *stride) {
    const int mode = **at >> 6, low = **at & 7;
    const uint8_t *p = *at + 1;
    int64_t base = 0;
    int32_t far = 0;
    int relative = 0, absolute = 0;
    *stride = 0;
    if (low == 4) {
        const int index = (*p >> 3 & 7) | x << 3, from = *p & 7;
        if (index != 4) *stride = values[registers[index]] << (*p >> 6);
        absolute = from == 5 && mode == 0;
        if (!absolute) base = values[registers[from | b << 3]];
        p++;
    } else if (low == 5 && mode == 0)
        relative = 1;
    else
        base = values[registers[low | b << 3]];
    if (mode == 1) base += (int8_t)*p++;
    if (mode == 2 || relative || absolute) {
        memcpy(&far, p, sizeof far);
        p += sizeof far;
        base += far;
    }
    *at = p;
    return (char *)(relative ? base + (int64_t)p : base);
}

static void on_illegal(int signal_number, siginfo_t *information, void *context) {
    (void)signal_number, (void)information;
    greg_t *values = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)values[REG_RIP], *p = code + 4;
    /* Three bytes of VEX for the map 0F38, its inverted bits as they count. */
    if (code[0] != 0xc4 || (code[1] & 31) != 2) abort();
    const int r = !(code[1] & 128), x = !(code[1] & 64), b = !(code[1] & 32);
    const int third = ~code[2] >> 3 & 15, prefix = code[2] & 3, operation = code[3];
    const int first = (*p >> 3 & 7) | r << 3, second = *p & 7, in_memory = *p >> 6 != 3;
    int64_t stride = 0;
    char *where = 0;
    if (in_memory)
        where = address(values, &p, x, b, &stride);
    else
        p++;
    if (operation == 0x49 && prefix == NONE && in_memory)
        tile_configure((const TileConfig *)where);
    else if (operation == 0x49 && prefix == NONE && code[4] == 0xc0)
        tile_release();
    else if (operation == 0x49 && prefix == XF2 && !in_memory)
        tile_zero(first);
    else if (operation == 0x4b && prefix == XF2 && in_memory)
        tile_load(first, where, stride);
    else if (operation == 0x4b && prefix == XF3 && in_memory)
        tile_store(first, where, stride);
    else if (operation == 0x5c && prefix == XF3 && !in_memory)
        tile_multiply(first, second, third);
    else
        abort();
    trapped++;
    values[REG_RIP] = (greg_t)p;
}

void begin_traps(void) {
    struct sigaction action = {0};
    action.sa_sigaction = on_illegal;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGILL, &action, &before);
}

void end_traps(void) { sigaction(SIGILL, &before, 0); }

long always_granted(long number, ...) {
    (void)number;
    return 0;
}
