//! Which tensors are quantised.

use serde::Serialize;

use super::{BLOCK, Geometry, ScaleType, Scheme};

/// Why a tensor stays float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// It has fewer than two dimensions: a bias, a norm's weight, a scale.
    Vector,
    /// Its name does not end in `weight`: a positional embedding, an adapter's embedding.
    NotAWeight,
    /// A convolution whose inputs do not fill blocks.
    Ragged,
    /// Blocks would take no less than it takes now.
    NoGain,
    /// The caller asked for it.
    Asked,
}

/// Why the tensor stays float; `None` where it is quantised.
///
/// Quantised are the weights of linear layers, embeddings and the output head: two dimensions and
/// a name ending in `weight` (`wq.weight`, `in_proj_weight`, `tok_embeddings.weight`). A
/// convolution's weight, of more dimensions, is quantised where its inputs, all dimensions but
/// the first, fill whole blocks, as a patch embedding of 8 x 8 or 16 x 16 pixels does.
pub(crate) fn kept(
    name: &str,
    shape: &[usize],
    bytes: usize,
    scheme: Scheme,
    scale: ScaleType,
) -> Option<Kept> {
    if shape.len() < 2 {
        return Some(Kept::Vector);
    }
    if !name.ends_with("weight") {
        return Some(Kept::NotAWeight);
    }
    let Some(geometry) = Geometry::of(shape) else {
        return Some(Kept::NoGain);
    };
    if shape.len() > 2 && !geometry.cols.is_multiple_of(BLOCK) {
        return Some(Kept::Ragged);
    }
    (quantised_bytes(geometry, scheme, scale) >= bytes).then_some(Kept::NoGain)
}

/// Bytes of codes and scales.
pub(super) fn quantised_bytes(geometry: Geometry, scheme: Scheme, scale: ScaleType) -> usize {
    let block = scheme.words() * size_of::<u32>() + scale.dtype().size();
    geometry.rows * geometry.blocks() * block
}

/// Whether all of `name` fits `pattern`, in which `*` stands for any characters and `?` for one.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // After the last star: where to go on in the pattern, and how far the star reaches.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, reach)) => {
                    star = Some((after, reach + 1));
                    p = after;
                    n = reach + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, fits) in [
            ("output.weight", "output.weight", true),
            ("output.weight", "my.output.weight", false),
            ("*output.weight", "my.output.weight", true),
            ("layers.?.attention.*", "layers.3.attention.wq.weight", true),
            (
                "layers.?.attention.*",
                "layers.13.attention.wq.weight",
                false,
            ),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("**w*t", "weight", true),
            ("*.w1.*", "layers.0.feed_forward.w1.weight", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn linear_weights_and_embeddings_are_quantised_and_the_rest_is_kept() {
        for (name, shape, expected) in [
            ("layers.0.attention.wq.weight", &[160, 160][..], None),
            ("layers.0.feed_forward.w2.weight", &[160, 432], None),
            ("tok_embeddings.weight", &[312, 160], None),
            ("attn.in_proj_weight", &[384, 128], None),
            ("backbone.visual.conv1.weight", &[128, 3, 8, 8], None),
            (
                "backbone.visual.conv1.weight",
                &[128, 3, 14, 14],
                Some(Kept::Ragged),
            ),
            ("norm.weight", &[160], Some(Kept::Vector)),
            ("scalar", &[], Some(Kept::Vector)),
            ("attn.in_proj_bias", &[384], Some(Kept::Vector)),
            (
                "backbone.visual.positional_embedding",
                &[65, 128],
                Some(Kept::NotAWeight),
            ),
            ("adapter_emb1", &[1, 80, 160], Some(Kept::NotAWeight)),
            ("empty.weight", &[0, 160], Some(Kept::NoGain)),
            ("narrow.weight", &[160, 3], Some(Kept::NoGain)),
        ] {
            let bytes = 2 * shape.iter().product::<usize>();
            let found = kept(name, shape, bytes, Scheme::Q4, ScaleType::F16);
            assert_eq!(found, expected, "{name} {shape:?}");
        }
        // Twelve inputs fill a block of 32: four bits pay, eight do not.
        let narrow = |scheme| kept("fc2.weight", &[128, 12], 128 * 24, scheme, ScaleType::F16);
        assert_eq!(narrow(Scheme::Q4), None);
        assert_eq!(narrow(Scheme::Q8), Some(Kept::NoGain));
    }
}
