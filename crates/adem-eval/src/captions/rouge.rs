//! ROUGE-L (Lin, 2004) as COCO's evaluation computes it: the best precision and the best recall over
//! the references, recall weighing more.

use super::Captioned;

const BETA: f64 = 1.2;

/// ROUGE-L of one candidate.
pub(super) fn rouge_l(item: &Captioned) -> f64 {
    let (mut precision, mut recall) = (0.0f64, 0.0f64);
    for reference in &item.references {
        // A text without words counts as one empty word there.
        let common = match (item.candidate.is_empty(), reference.is_empty()) {
            (true, true) => 1,
            _ => longest_common(&item.candidate, reference),
        } as f64;
        precision = precision.max(common / item.candidate.len().max(1) as f64);
        recall = recall.max(common / reference.len().max(1) as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    let weight = BETA * BETA;
    (1.0 + weight) * precision * recall / (recall + weight * precision)
}

/// Length of the longest common subsequence.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = match x == y {
                true => diagonal + 1,
                false => above.max(row[j]),
            };
            diagonal = above;
        }
    }
    row[b.len()]
}
