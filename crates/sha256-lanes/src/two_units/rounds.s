# The rounds of one group of eight streams, and the loop over blocks. AT&T syntax.
#
# The SHA extensions do the rounds of one group while the vector unit does the message schedule of the other one.
# A block of a group is the rounds of its message; the schedule that belongs to it was done in the block before.
#
#   rdi  scratch memory: the ring of the 16 newest words W, and the four rows of the table
#   rsi  iterations times four
#   rdx  constants
#   rax  row of the table
#   r8   group of the rounds
#   r9   group of the schedule
#   r10  first states of the rounds, in pairs
#   r11  first states of the block that the schedule's group has finished, by words
#   rcx  all ones where that block ends an iteration, else zeros
#
# xmm1 to xmm8 have the states of four streams, xmm0 the sums W + K of two rounds.

.set RING, 0
.set TABLE, 512
.set ROW, 48

.set WK, 0
.set RAW, 2048
.set KEY, 2304

.set K, 0
.set END, 2048
.set LENGTH, 2080
.set SIGMA1_LENGTH, 2112
.set SIGMA0_END, 2144
.set SIGMA0_LENGTH, 2176
.set PADDING, 2208

# Two rounds of one stream: a is its state ABEF, c its state CDGH. The sums of rounds 8 to 15 are the padding's.
.macro lanes_two_rounds pair, half, stream, a, c
    .if \pair >= 4 && \pair < 8
        .if \stream == 0
            movdqa PADDING + 16 * (\pair - 4)(%rdx), %xmm0
        .endif
    .else
        movq WK + 64 * \pair + 32 * \half + 8 * \stream(%r8), %xmm0
    .endif
    # The instruction leaves the new ABEF where CDGH was: the two change their roles.
    .if \pair % 2
        sha256rnds2 %xmm0, %xmm\c, %xmm\a
    .else
        sha256rnds2 %xmm0, %xmm\a, %xmm\c
    .endif
.endm

# Two rounds of the four streams of one half of the group, which have no other order than that of their names.
.macro lanes_pair pair, half
    lanes_two_rounds \pair, \half, 0, 1, 2
    lanes_two_rounds \pair, \half, 1, 3, 4
    lanes_two_rounds \pair, \half, 2, 5, 6
    lanes_two_rounds \pair, \half, 3, 7, 8
.endm

# The states before the first round.
.macro lanes_begin half
    movdqa 64 * \half(%r10), %xmm1
    movdqa 64 * \half + 128(%r10), %xmm2
    movdqa 64 * \half + 32(%r10), %xmm3
    movdqa 64 * \half + 160(%r10), %xmm4
    movdqa 64 * \half + 16(%r10), %xmm5
    movdqa 64 * \half + 144(%r10), %xmm6
    movdqa 64 * \half + 48(%r10), %xmm7
    movdqa 64 * \half + 176(%r10), %xmm8
.endm

# The states after the last round. The schedule adds the first ones.
.macro lanes_end half
    movdqa %xmm1, RAW + 64 * \half(%r8)
    movdqa %xmm2, RAW + 64 * \half + 128(%r8)
    movdqa %xmm3, RAW + 64 * \half + 32(%r8)
    movdqa %xmm4, RAW + 64 * \half + 160(%r8)
    movdqa %xmm5, RAW + 64 * \half + 16(%r8)
    movdqa %xmm6, RAW + 64 * \half + 144(%r8)
    movdqa %xmm7, RAW + 64 * \half + 48(%r8)
    movdqa %xmm8, RAW + 64 * \half + 176(%r8)
.endm

.macro lanes_row_of_schedule
    mov 8(%rax), %r9
    mov 24(%rax), %r11
    mov 32(%rax), %rcx
.endm
