# The message schedule of one group with AVX2.
#
# An AVX register whose upper half is in use makes each change to an SSE instruction slow on some CPUs, for hundreds
# of cycles on an EPYC 7003, and the SHA extensions are SSE instructions. So the schedule runs in parts of four words,
# vzeroupper ends each part, and the ring of words stays in memory.

# The sums of rounds 2 pair and 2 pair + 1 from their words.
.macro lanes_sums pair, even, odd
    vpaddd K + 64 * \pair(%rdx), %ymm\even, %ymm9
    vpaddd K + 64 * \pair + 32(%rdx), %ymm\odd, %ymm10
    vpunpckldq %ymm10, %ymm9, %ymm11
    vpunpckhdq %ymm10, %ymm9, %ymm12
    vmovdqa %ymm11, WK + 64 * \pair(%r9)
    vmovdqa %ymm12, WK + 64 * \pair + 32(%r9)
.endm

# A word of the finished block: of the next message, and of the key where the block ends an iteration.
.macro lanes_word word, register
    vpaddd 32 * \word(%r11), %ymm\register, %ymm\register
    vmovdqa %ymm\register, RING + 32 * \word(%rdi)
    vpand (%rcx), %ymm\register, %ymm0
    vpxor KEY + 32 * \word(%r9), %ymm0, %ymm0
    vmovdqa %ymm0, KEY + 32 * \word(%r9)
.endm

# Four words of the finished block: F, E, B, A of half 0, and H, G, D, C of half 1, which the rounds left by streams.
.macro lanes_message half
    vmovdqa RAW + 128 * \half(%r9), %ymm9
    vmovdqa RAW + 128 * \half + 32(%r9), %ymm10
    vmovdqa RAW + 128 * \half + 64(%r9), %ymm11
    vmovdqa RAW + 128 * \half + 96(%r9), %ymm12
    vpunpckldq %ymm10, %ymm9, %ymm13
    vpunpckhdq %ymm10, %ymm9, %ymm9
    vpunpckldq %ymm12, %ymm11, %ymm10
    vpunpckhdq %ymm12, %ymm11, %ymm11
    vpunpcklqdq %ymm10, %ymm13, %ymm12
    vpunpckhqdq %ymm10, %ymm13, %ymm13
    vpunpcklqdq %ymm11, %ymm9, %ymm14
    vpunpckhqdq %ymm11, %ymm9, %ymm15
    lanes_word (2 * \half + 5), 12
    lanes_word (2 * \half + 4), 13
    lanes_word (2 * \half + 1), 14
    lanes_word (2 * \half), 15
    vmovdqa %ymm12, %ymm0
    lanes_sums (\half), 15, 14
    lanes_sums (\half + 2), 13, 0
.endm

# to = x >>> r1 ^ x >>> r2 ^ x >> shift
.macro lanes_sigma x, to, r1, r2, shift
    vpsrld $\r1, %ymm\x, %ymm10
    vpslld $32 - \r1, %ymm\x, %ymm11
    vpsrld $\r2, %ymm\x, %ymm12
    vpslld $32 - \r2, %ymm\x, %ymm13
    vpsrld $\shift, %ymm\x, %ymm\to
    vpxor %ymm11, %ymm10, %ymm10
    vpxor %ymm13, %ymm12, %ymm12
    vpxor %ymm10, %ymm\to, %ymm\to
    vpxor %ymm12, %ymm\to, %ymm\to
.endm

# Word t, in the register of word t - 2. Words 8 to 15 are padding, so that some terms up to word 31 are constants.
.macro lanes_next t, two_before
    .if \t < 23 || \t >= 31
        vmovdqa RING + 32 * ((\t - 15) % 16)(%rdi), %ymm9
        lanes_sigma 9, 9, 7, 18, 3
        .if \t != 31
            vpaddd RING + 32 * ((\t - 16) % 16)(%rdi), %ymm9, %ymm9
        .endif
    .elseif \t == 23
        vmovdqa RING + 32 * 7(%rdi), %ymm9
    .elseif \t == 24
        vmovdqa END(%rdx), %ymm9
    .else
        vmovdqa RING + 32 * ((\t - 7) % 16)(%rdi), %ymm9
    .endif
    .if \t == 23 || \t == 24 || \t >= 31
        vpaddd RING + 32 * ((\t - 7) % 16)(%rdi), %ymm9, %ymm9
    .endif
    .if \t == 17
        vpaddd SIGMA1_LENGTH(%rdx), %ymm9, %ymm9
    .elseif \t == 22 || \t == 31
        vpaddd LENGTH(%rdx), %ymm9, %ymm9
    .elseif \t == 23
        vpaddd SIGMA0_END(%rdx), %ymm9, %ymm9
    .elseif \t == 30
        vpaddd SIGMA0_LENGTH(%rdx), %ymm9, %ymm9
    .endif
    .if \t < 18
        vmovdqa %ymm9, %ymm\two_before
    .else
        lanes_sigma \two_before, \two_before, 17, 19, 10
        vpaddd %ymm9, %ymm\two_before, %ymm\two_before
    .endif
    vmovdqa %ymm\two_before, RING + 32 * (\t % 16)(%rdi)
.endm

# Words t to t + 3.
.macro lanes_four t
    .if \t > 16
        vmovdqa RING + 32 * ((\t - 2) % 16)(%rdi), %ymm14
        vmovdqa RING + 32 * ((\t - 1) % 16)(%rdi), %ymm15
    .endif
    lanes_next \t, 14
    lanes_next (\t + 1), 15
    lanes_sums (\t / 2), 14, 15
    lanes_next (\t + 2), 14
    lanes_next (\t + 3), 15
    lanes_sums (\t / 2 + 1), 14, 15
    vzeroupper
.endm

# The schedule of one group alone.
.macro lanes_schedule
    lanes_message 0
    lanes_message 1
    .irp t, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60
        lanes_four \t
    .endr
.endm

.macro lanes_pairs half, pairs:vararg
    .irp pair, \pairs
        lanes_pair \pair, \half
    .endr
.endm

# The rounds of one group, with the schedule of the other one between them.
.macro lanes_block
    lanes_begin 0
    lanes_pairs 0, 0, 1, 2
    lanes_message 0
    vzeroupper
    lanes_pairs 0, 3, 4, 5, 6, 7
    lanes_message 1
    vzeroupper
    lanes_pairs 0, 8, 9, 10, 11, 12
    lanes_four 16
    lanes_pairs 0, 13, 14, 15, 16, 17
    lanes_four 20
    lanes_pairs 0, 18, 19, 20, 21, 22
    lanes_four 24
    lanes_pairs 0, 23, 24, 25, 26, 27
    lanes_four 28
    lanes_pairs 0, 28, 29, 30, 31
    lanes_end 0
    lanes_begin 1
    lanes_four 32
    lanes_pairs 1, 0, 1, 2, 3, 4
    lanes_four 36
    lanes_pairs 1, 5, 6, 7, 8
    lanes_four 40
    lanes_pairs 1, 9, 10, 11, 12
    lanes_four 44
    lanes_pairs 1, 13, 14, 15, 16
    lanes_four 48
    lanes_pairs 1, 17, 18, 19, 20
    lanes_four 52
    lanes_pairs 1, 21, 22, 23, 24
    lanes_four 56
    lanes_pairs 1, 25, 26, 27, 28
    lanes_four 60
    lanes_pairs 1, 29, 30, 31
    lanes_end 1
.endm

.macro lanes_wipe
    vzeroall
.endm
