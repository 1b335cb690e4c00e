# The message schedule of one group with AVX-512VL, in ymm16 to ymm31.
#
# SSE instructions such as those of the SHA extensions do not see these registers, so each word of the schedule
# can stand between two rounds, and words stay in registers from one to the next.

# The sums of rounds 2 pair and 2 pair + 1 from their words.
.macro lanes_sums pair, even, odd
    vpaddd K + 64 * \pair(%rdx), %ymm\even, %ymm16
    vpaddd K + 64 * \pair + 32(%rdx), %ymm\odd, %ymm17
    vpunpckldq %ymm17, %ymm16, %ymm18
    vpunpckhdq %ymm17, %ymm16, %ymm19
    vmovdqa32 %ymm18, WK + 64 * \pair(%r9)
    vmovdqa32 %ymm19, WK + 64 * \pair + 32(%r9)
.endm

# A word of the finished block: of the next message, and of the key where the block ends an iteration.
.macro lanes_word word, register
    vpaddd 32 * \word(%r11), %ymm\register, %ymm\register
    vmovdqa32 %ymm\register, RING + 32 * \word(%rdi)
    vpandd (%rcx), %ymm\register, %ymm16
    vpxord KEY + 32 * \word(%r9), %ymm16, %ymm16
    vmovdqa32 %ymm16, KEY + 32 * \word(%r9)
.endm

# Four words of the finished block: F, E, B, A of half 0, and H, G, D, C of half 1, which the rounds left by streams.
.macro lanes_message half
    vmovdqa32 RAW + 128 * \half(%r9), %ymm20
    vmovdqa32 RAW + 128 * \half + 32(%r9), %ymm21
    vmovdqa32 RAW + 128 * \half + 64(%r9), %ymm22
    vmovdqa32 RAW + 128 * \half + 96(%r9), %ymm23
    vpunpckldq %ymm21, %ymm20, %ymm24
    vpunpckhdq %ymm21, %ymm20, %ymm25
    vpunpckldq %ymm23, %ymm22, %ymm26
    vpunpckhdq %ymm23, %ymm22, %ymm27
    vpunpcklqdq %ymm26, %ymm24, %ymm20
    vpunpckhqdq %ymm26, %ymm24, %ymm21
    vpunpcklqdq %ymm27, %ymm25, %ymm22
    vpunpckhqdq %ymm27, %ymm25, %ymm23
    lanes_word (2 * \half + 5), 20
    lanes_word (2 * \half + 4), 21
    lanes_word (2 * \half + 1), 22
    lanes_word (2 * \half), 23
    lanes_sums (\half), 23, 22
    lanes_sums (\half + 2), 21, 20
.endm

# to = x >>> r1 ^ x >>> r2 ^ x >> shift. Two XORs: on an EPYC 9004 vpternlogd waits for the ports of the shifts.
.macro lanes_sigma x, to, r1, r2, shift
    vprord $\r1, %ymm\x, %ymm17
    vprord $\r2, %ymm\x, %ymm18
    vpsrld $\shift, %ymm\x, %ymm\to
    vpxord %ymm18, %ymm17, %ymm17
    vpxord %ymm17, %ymm\to, %ymm\to
.endm

# Word t, in the register of word t - 2. Words 8 to 15 are padding, so that some terms up to word 31 are constants.
.macro lanes_next t, two_before
    .if \t < 23 || \t >= 31
        vmovdqa32 RING + 32 * ((\t - 15) % 16)(%rdi), %ymm16
        lanes_sigma 16, 16, 7, 18, 3
        .if \t != 31
            vpaddd RING + 32 * ((\t - 16) % 16)(%rdi), %ymm16, %ymm16
        .endif
    .elseif \t == 23
        vmovdqa32 RING + 32 * 7(%rdi), %ymm16
    .elseif \t == 24
        vmovdqa32 END(%rdx), %ymm16
    .else
        vmovdqa32 RING + 32 * ((\t - 7) % 16)(%rdi), %ymm16
    .endif
    .if \t == 23 || \t == 24 || \t >= 31
        vpaddd RING + 32 * ((\t - 7) % 16)(%rdi), %ymm16, %ymm16
    .endif
    .if \t == 17
        vpaddd SIGMA1_LENGTH(%rdx), %ymm16, %ymm16
    .elseif \t == 22 || \t == 31
        vpaddd LENGTH(%rdx), %ymm16, %ymm16
    .elseif \t == 23
        vpaddd SIGMA0_END(%rdx), %ymm16, %ymm16
    .elseif \t == 30
        vpaddd SIGMA0_LENGTH(%rdx), %ymm16, %ymm16
    .endif
    .if \t < 18
        vmovdqa32 %ymm16, %ymm\two_before
    .else
        lanes_sigma \two_before, \two_before, 17, 19, 10
        vpaddd %ymm16, %ymm\two_before, %ymm\two_before
    .endif
    vmovdqa32 %ymm\two_before, RING + 32 * (\t % 16)(%rdi)
.endm

# The schedule of one group alone.
.macro lanes_schedule
    lanes_message 0
    lanes_message 1
    .irp t, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62
        lanes_next \t, 30
        lanes_next (\t + 1), 31
        lanes_sums (\t / 2), 30, 31
    .endr
.endm

# Two words of the schedule, each after the rounds of one pair.
.macro lanes_two t, half, pair
    lanes_pair \pair, \half
    lanes_next \t, 30
    lanes_pair (\pair + 1), \half
    lanes_next (\t + 1), 31
    lanes_sums (\t / 2), 30, 31
.endm

# The rounds of one group, with the schedule of the other one between them.
.macro lanes_block
    lanes_begin 0
    .irp pair, 0, 1, 2, 3
        lanes_pair \pair, 0
    .endr
    lanes_message 0
    .irp pair, 4, 5, 6, 7
        lanes_pair \pair, 0
    .endr
    lanes_message 1
    # The padding makes the first words cheap: they leave time for more rounds.
    .irp t, 16, 18, 20, 22
        lanes_pair (2 * \t - 24), 0
        lanes_next \t, 30
        lanes_pair (2 * \t - 23), 0
        lanes_next (\t + 1), 31
        lanes_pair (2 * \t - 22), 0
        lanes_sums (\t / 2), 30, 31
        lanes_pair (2 * \t - 21), 0
    .endr
    .irp t, 24, 26, 28, 30
        lanes_two \t, 0, \t
    .endr
    lanes_end 0
    lanes_begin 1
    .irp t, 32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62
        lanes_two \t, 1, (\t - 32)
    .endr
    lanes_end 1
.endm

.macro lanes_wipe
    vzeroall
    .irp register, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        vpxord %ymm\register, %ymm\register, %ymm\register
    .endr
.endm
