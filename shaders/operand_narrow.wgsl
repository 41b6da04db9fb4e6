// Eight numbers of a row of the left operand x [batch, m, k], any k, zero past its end.
// Part of linear.wgsl and matmul.wgsl.

fn operand_at(batch: u32, row: u32, k: u32) -> f32 {
    if k >= info[1].x {
        return 0.0;
    }
    return x[(batch * info[0].x + row) * info[1].x + k];
}

fn operand_quad(batch: u32, row: u32, quad: u32) -> vec4<f32> {
    let k = quad * 4u;
    return vec4<f32>(
        operand_at(batch, row, k),
        operand_at(batch, row, k + 1u),
        operand_at(batch, row, k + 2u),
        operand_at(batch, row, k + 3u),
    );
}

fn operand(batch: u32, row: u32, chunk: u32) -> Eight {
    let quad = quads(chunk);
    return Eight(operand_quad(batch, row, quad.x), operand_quad(batch, row, quad.y), 1.0);
}
