// Which two groups of four along k make a chunk of eight: neighbours.
// Part of linear.wgsl and matmul.wgsl.

fn quads(chunk: u32) -> vec2<u32> {
    return vec2<u32>(chunk * 2u, chunk * 2u + 1u);
}
