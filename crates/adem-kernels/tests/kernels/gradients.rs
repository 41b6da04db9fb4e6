//! The hand-written backward passes of the cross-attention are what Burn derives of the reference.

use adem_kernels::{CrossAttention, cross_attention, reference};
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use crate::cross_attention::{Case, Kind, kinds};
use crate::gpu::{Numbers, download, gpu, upload};

type Attention = fn(Tensor<3>, Tensor<3>, Tensor<3>, CrossAttention) -> Tensor<3>;

/// The result of several blocks that look at the same keys and values, each from what the one before
/// made, and the gradients of those of x, keys and values that are tracked.
fn blocks(
    attention: Attention,
    count: usize,
    case: &Case,
    [batch, rows, tokens, dim]: [usize; 4],
    tracked: [bool; 3],
    device: &Device,
) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let mut leaves = [
        upload::<3>(&case.x, [batch, rows, dim], &device),
        upload::<3>(&case.keys, [batch, tokens, dim], &device),
        upload::<3>(&case.values, [batch, tokens, dim], &device),
    ];
    for (leaf, tracked) in leaves.iter_mut().zip(tracked) {
        if tracked {
            *leaf = leaf.clone().require_grad();
        }
    }
    let settings = CrossAttention {
        alpha: case.alpha,
        drop_index: case.drop_index,
    };
    let [x, keys, values] = leaves.clone();
    let out = (0..count).fold(x, |x, _| {
        x.clone() + attention(x, keys.clone(), values.clone(), settings)
    });
    let weights = Numbers::new(5).many(batch * rows * dim);
    let weights = upload::<3>(&weights, [batch, rows, dim], &device);
    let mut found = vec![download(out.clone())];
    if tracked.contains(&true) {
        let gradients = (out * weights).sum().backward();
        let leaves = leaves.iter().zip(tracked).filter(|(_, tracked)| *tracked);
        found.extend(leaves.map(|(leaf, _)| download(leaf.grad(&gradients).unwrap())));
    }
    found
}

fn assert_near(got: &[Vec<f32>], want: &[Vec<f32>], tolerance: f32) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        let size = want.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        prop_assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            let off = (got - want).abs();
            prop_assert!(off <= tolerance * size, "{} instead of {}", got, want);
        }
    }
    Ok(())
}

fn sizes() -> impl Strategy<Value = [usize; 4]> {
    (1usize..3, 1usize..20, 1usize..40, 1usize..40).prop_map(|(b, t, n, d)| [b, t, n, d])
}

/// Nothing is dropped, or a share.
fn ratios() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0f64..0.99]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn on_the_processor(
        sizes in sizes(),
        ratio in ratios(),
        alpha in prop_oneof![Just(0.0), Just(0.1), -2.0f64..2.0],
        count in 1usize..4,
        tracked in any::<[bool; 3]>(),
        kind in kinds(),
        seed in any::<u64>(),
    ) {
        // Numbers in the millions grow from block to block until they are infinite.
        let count = if matches!(kind, Kind::Large) { 1 } else { count };
        let case = Case { alpha, ..Case::new(sizes, ratio, kind, seed) };
        let run = |attention| blocks(attention, count, &case, sizes, tracked, &Device::flex());
        assert_near(&run(cross_attention), &run(reference::cross_attention), 1e-5)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn on_the_graphics_card(
        sizes in sizes(),
        ratio in ratios(),
        tracked in any::<[bool; 3]>(),
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let case = Case { alpha: 0.5, ..Case::new(sizes, ratio, Kind::Random, seed) };
        let run = |attention, device: Device| blocks(attention, 1, &case, sizes, tracked, &device);
        let want = run(reference::cross_attention, Device::flex());
        assert_near(&run(cross_attention, gpu.device.clone()), &want, 1e-4)?;
    }
}

/// All scores of a row tie with its threshold: all are kept, and each value has a gradient.
#[test]
fn equal_scores_keep_their_gradients() {
    let sizes = [1, 2, 7, 3];
    let case = Case::new(sizes, 0.5, Kind::Equal, 3);
    let run = |attention| blocks(attention, 1, &case, sizes, [true; 3], &Device::flex());
    let (got, want) = (
        run(cross_attention),
        run(reference::cross_attention as Attention),
    );
    assert_near(&got, &want, 1e-6).unwrap();
    assert!(got[3].iter().all(|g| *g != 0.0), "{:?}", got[3]);
}
