// Parameter-free cross-attention of whole rows, in one dispatch (paper, section 3.2 and eq. 9):
//
//     A   = silu(x) K^T                      [N], f32
//     t   = ascending_sort(A)[index]         by counting: ties are kept as a sort keeps them
//     A   = where(A < t, 0, A)
//     out = residual + alpha * A U           [D]
//
// One workgroup a row of x. LANES threads share a score; with one lane nothing is reduced, and the
// barriers are two a stage of the query and two more.
//
// Bindings, in order (f32; Vector is vec4<f32> where D is a multiple of 4, else f32):
//     x         [rows, D]                    the FFN's input
//     keys      [batch, N, D]                already projected
//     values    [batch, N, D]
//     residual  [rows, D]                    with RESIDUAL
//     kept      [rows, N]                    with KEPT: written, 1 where a score is kept, else 0
//     out       [rows, D]                    written
//     info[0]   rows, rows a picture, N, vectors a row
//     info[1]   how many scores of a row a kept one is not below (0 keeps all), alpha's bits
//
// Limits: N <= TOKENS, any D. Workgroup memory 4 (TOKENS + STAGE vectors + WORKGROUP) bytes,
// 9 KiB as launched.
// Launched by crates/adem-kernels/src/gpu/attend.rs

{{ bindings }}

// Scores that are worked on side by side.
const BATCH = WORKGROUP / LANES;

var<workgroup> query: array<Vector, STAGE>;
var<workgroup> scores: array<f32, TOKENS>;
//@if SHARED
var<workgroup> partial: array<f32, WORKGROUP>;
//@end

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.y * groups.x + group.x;
    let tokens = info[0].z;
    let width = info[0].w;
    if row >= info[0].x {
        return;
    }
    let picture = row / info[0].y;
    let lane = thread % LANES;

    for (var base = 0u; base < width; base += STAGE) {
        let count = min(STAGE, width - base);
        for (var i = thread; i < count; i += WORKGROUP) {
            let v = x[row * width + base + i];
            query[i] = v / (1.0 + exp(-v));
        }
        workgroupBarrier();
        // Four scores at a time, so that what is read of the query serves four keys.
        for (var first = 0u; first < tokens; first += BATCH * 4u) {
            let n = first + thread / LANES;
//@for i in 4
            var sum_$i = 0.0;
            let key_$i = (picture * tokens + min(n + $iu * BATCH, tokens - 1u)) * width + base;
//@end
            for (var i = lane; i < count; i += LANES) {
                let q = query[i];
//@for i in 4
                sum_$i += total(q * keys[key_$i + i]);
//@end
            }
//@for i in 4
//@if SHARED
            partial[thread] = sum_$i;
            workgroupBarrier();
            if lane == 0u {
                for (var i = 1u; i < LANES; i += 1u) {
                    sum_$i += partial[thread + i];
                }
            }
//@end
            if lane == 0u && n + $iu * BATCH < tokens {
                if base > 0u {
                    sum_$i += scores[n + $iu * BATCH];
                }
                scores[n + $iu * BATCH] = sum_$i;
            }
//@if SHARED
            workgroupBarrier();
//@end
//@end
        }
        workgroupBarrier();
    }

    // A score is below the threshold exactly when too few scores are not above it.
    var masked: array<f32, TOKENS / WORKGROUP>;
    for (var i = 0u; i < TOKENS / WORKGROUP; i += 1u) {
        let n = thread + i * WORKGROUP;
        if n < tokens {
            let score = scores[n];
            var not_above = 0u;
            for (var m = 0u; m < tokens; m += 1u) {
                not_above += u32(scores[m] <= score);
            }
            let keep = not_above >= info[1].x;
            masked[i] = select(0.0, score, keep);
//@if KEPT
            kept[row * tokens + n] = f32(keep);
//@end
        }
    }
    workgroupBarrier();
    for (var i = 0u; i < TOKENS / WORKGROUP; i += 1u) {
        let n = thread + i * WORKGROUP;
        if n < tokens {
            scores[n] = masked[i];
        }
    }
    workgroupBarrier();

    let alpha = bitcast<f32>(info[1].y);
    for (var d = thread; d < width; d += WORKGROUP) {
        var sum = Vector(0.0);
        for (var n = 0u; n < tokens; n += 1u) {
            sum += scores[n] * values[(picture * tokens + n) * width + d];
        }
        sum *= alpha;
//@if RESIDUAL
        sum += residual[row * width + d];
//@end
        out[row * width + d] = sum;
    }
}
