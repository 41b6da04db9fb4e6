//! Words about what the model looked at.

pub const SIGHT: &str = "See what it saw";
pub const SIGHT_HINT: &str = "For every word the model looks at the picture anew, in patches of two sizes, and drops those that matter least. Point at a word, or go through them with the arrow keys.";
pub const SIGHT_EMPTY: &str = "Give it a picture, and its words will be here.";
pub const SIGHT_WORDS: &str = "Words of the caption";
pub const LEGEND_KEPT: &str = "counts more";
pub const LEGEND_DROPPED: &str = "dropped";
pub const LAYER: &str = "Layer";
pub const LAYER_ALL: &str = "all, averaged";
pub const ALPHA: &str = "α, weight of the picture";
pub const BETA: &str = "β, scale of its features";
pub const GAMMA: &str = "γ, share that is dropped";
pub const RESET: &str = "As trained";
pub const EXPORT: &str = "Save as PNG";
pub const BEFORE: &str = "As trained it says:";
pub const SAME: &str = "Nothing changes.";

/// Which layer is shown.
pub fn layer(layer: usize, layers: usize) -> String {
    match layer {
        0 => LAYER_ALL.into(),
        _ => format!("{layer} of {layers}"),
    }
}

/// What a map shows, for those who do not see it.
pub fn map(word: &str, tokens: usize, dropped: usize) -> String {
    let side = tokens.isqrt();
    format!(
        "{side} × {side} patches for “{word}”: {} kept, {dropped} dropped",
        tokens - dropped
    )
}

/// A map's heading.
pub fn scale(tokens: usize) -> String {
    let side = tokens.isqrt();
    format!("{side} × {side} patches")
}

/// Below an exported picture.
pub fn sheet_note(layer: &str, alpha: f64, beta: f64, gamma: f64) -> String {
    format!(
        "ADEM-VL · layer: {layer} · α {alpha:.3} · β {beta:.3} · γ {gamma:.2} · dark and crossed: dropped"
    )
}
