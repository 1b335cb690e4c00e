# The function: its first row of the table is that of a block whose schedule is done already.

    vzeroupper
    # The last row's schedule is that of the first group.
    lea TABLE + 3 * ROW(%rdi), %rax
    lanes_row_of_schedule
    lanes_schedule
    lea TABLE(%rdi), %rax
    .p2align 6
2:
    mov 0(%rax), %r8
    lanes_row_of_schedule
    mov 16(%rax), %r10
    mov 40(%rax), %rax
    lanes_block
    dec %rsi
    jnz 2b
    # The first row's schedule ends the last iteration of the second group.
    lanes_row_of_schedule
    lanes_message 0
    lanes_message 1
    lanes_wipe
    ret
