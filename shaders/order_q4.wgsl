// Which two groups of four along k a word of 4-bit weights holds: word w of a block of 32 has
// columns 4w.. in its low nibbles and 16 + 4w.. in its high ones.
// Part of linear.wgsl and matmul.wgsl.

fn quads(chunk: u32) -> vec2<u32> {
    let first = chunk / 4u * 8u + chunk % 4u;
    return vec2<u32>(first, first + 4u);
}
