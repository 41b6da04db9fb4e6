//! Captions as BLIP and ADEM-VL train on them, and captions out of what a model wrote.

/// Longest caption of the COCO recipe, in words.
pub const MAX_WORDS: usize = 30;

/// A caption as the model learns it: lower case, the marks `.!"()*#:;~` and runs of white space
/// replaced by one space, at most `max_words` words (BLIP's `pre_caption`).
pub fn clean_caption(caption: &str, max_words: usize) -> String {
    let mut text = String::with_capacity(caption.len());
    // White space read so far since the last character of a word.
    let mut gap: Option<(char, usize)> = None;
    for c in caption.to_lowercase().chars() {
        let c = if ".!\"()*#:;~".contains(c) { ' ' } else { c };
        if c.is_whitespace() {
            gap = Some(gap.map_or((c, 1), |(first, count)| (first, count + 1)));
            continue;
        }
        text.extend(gap.take().map(joint));
        text.push(c);
    }
    text.extend(gap.map(joint));
    let text = text.trim_end_matches('\n').trim_matches(' ');
    match text.match_indices(' ').nth(max_words.saturating_sub(1)) {
        Some((end, _)) if max_words > 0 => text[..end].to_owned(),
        _ => text.to_owned(),
    }
}

/// A single white space character stays what it is; several become a space.
fn joint((first, count): (char, usize)) -> char {
    if count == 1 { first } else { ' ' }
}

/// The caption in what a model wrote: the rest of the line after the first "picture of " that
/// something follows, and where there is none, everything.
pub fn written_caption(text: &str) -> &str {
    const LEAD: &str = "picture of ";
    text.match_indices(LEAD)
        .filter_map(|(at, _)| text[at + LEAD.len()..].split('\n').next())
        .find(|caption| !caption.is_empty())
        .unwrap_or(text)
}
