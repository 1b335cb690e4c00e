# Another function of this crate has macros with these names.
.purgem lanes_two_rounds
.purgem lanes_pair
.purgem lanes_begin
.purgem lanes_end
.purgem lanes_row_of_schedule
.purgem lanes_sums
.purgem lanes_word
.purgem lanes_message
.purgem lanes_sigma
.purgem lanes_next
.purgem lanes_schedule
.purgem lanes_block
.purgem lanes_wipe
