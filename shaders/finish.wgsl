// What is done to a sum before it is written, y = epilogue(x W^T):
//
//     GATE       silu(first) * second, of two products of the same x
//     BIAS       + bias[column]
//     SCALE      * alpha
//     RESIDUAL   + residual[row, column]
//
// in this order. Part of linear.wgsl and matmul.wgsl.

struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
    scale: f32,
}

// sum + a . b
fn plus_dot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
    return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

fn finish(batch: u32, row: u32, column: u32, first: f32, second: f32) {
    if row >= info[0].x || column >= info[0].z {
        return;
    }
    var value = first;
//@if GATE
    value = first / (1.0 + exp(-first)) * second;
//@end
//@if BIAS
    value += bias[column];
//@end
//@if SCALE
    value *= bitcast<f32>(info[1].y);
//@end
    let at = (batch * info[0].x + row) * info[0].z + column;
//@if RESIDUAL
    value += residual[at];
//@end
    y[at] = value;
}
