// Eight numbers of a row of the left operand x [batch, m, k] as vec4<f32>, k a multiple of 8.
// Part of linear.wgsl and matmul.wgsl.

fn operand(batch: u32, row: u32, chunk: u32) -> Eight {
    let first = (batch * info[0].x + row) * (info[1].x / 4u);
    let quad = quads(chunk);
    return Eight(x[first + quad.x], x[first + quad.y], 1.0);
}
