//! Captions cut into words as the caption metrics are published with: Stanford's Penn Treebank
//! tokeniser (CoreNLP 3.4.1, `-lowerCase`), then the punctuation dropped that COCO's evaluation
//! drops.
//!
//! The longest of the rules' matches is the next token, the first rule's of several as long. What a
//! pattern holds after its group `t` is looked at and counts for the length, but is not taken: "it's"
//! beats "it" and yields "it". Three things the original does are left out: it joins telephone
//! numbers, knows emoticons without brackets, and takes the full stop from a single capital before
//! words that mostly begin a sentence, even if they are the next caption's.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Tokens that COCO's evaluation leaves out.
const DROPPED: &[&str] = &[
    "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";",
];

/// The words of a caption, in lower case, without punctuation.
///
/// ```
/// let words = adem_eval::captions::tokenize("A dog's toy isn't there.");
/// assert_eq!(words, ["a", "dog", "'s", "toy", "is", "n't", "there"]);
/// ```
pub fn tokenize(caption: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = caption;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (taken, token) = next(rest).unwrap_or_else(|| {
            let (one, _) = rest.split_at(first.len_utf8());
            (one.len(), symbol(one))
        });
        let word = token.to_lowercase();
        if !DROPPED.contains(&word.as_str()) {
            words.push(word);
        }
        rest = &rest[taken..];
    }
    words
}

/// Length of the next token in bytes, and what becomes of it; `None` where no rule fits.
fn next(text: &str) -> Option<(usize, Cow<'_, str>)> {
    let mut best: Option<(usize, &str, Kind)> = None;
    for rule in RULES.iter() {
        let Some(found) = rule.pattern.captures(text) else {
            continue;
        };
        let whole = found.get(0).map_or(0, |m| m.len());
        let token = found
            .name("t")
            .or_else(|| found.get(0))
            .map_or("", |m| m.as_str());
        let fits = rule.kind != Kind::Mixed || token.chars().any(char::is_alphabetic);
        if fits && !token.is_empty() && best.is_none_or(|(longest, ..)| whole > longest) {
            best = Some((whole, token, rule.kind));
        }
    }
    best.map(|(_, token, kind)| (token.len(), kind.written(token)))
}

/// What becomes of the text that a rule has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It stays.
    Plain,
    /// It stays, and must hold a letter.
    Mixed,
    /// Spaces inside become no-break spaces, as one token they are.
    Spaced,
    /// Apostrophes become plain ones.
    Apostrophe,
    /// Punctuation that is dropped, whatever it looks like.
    Dropped,
    /// Brackets are spelt out.
    Brackets,
    /// An entity becomes its character.
    Entity,
}

impl Kind {
    fn written(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Plain | Self::Mixed => text.into(),
            Self::Spaced => text.replace(' ', "\u{a0}").into(),
            Self::Apostrophe => text.replace(['\u{92}', '\u{2019}'], "'").into(),
            Self::Dropped => "''".into(),
            Self::Brackets => text
                .chars()
                .map(|c| symbol_of(c, None))
                .collect::<String>()
                .into(),
            Self::Entity => match text {
                "&amp;" => "&".into(),
                "&lt;" => "<".into(),
                "&gt;" => ">".into(),
                _ => "''".into(),
            },
        }
    }
}

/// A character that is a token of its own.
fn symbol(one: &str) -> Cow<'_, str> {
    match one.chars().next() {
        Some(c) => symbol_of(c, Some(one)),
        None => one.into(),
    }
}

fn symbol_of(c: char, text: Option<&str>) -> Cow<'_, str> {
    match c {
        '(' => "-lrb-".into(),
        ')' => "-rrb-".into(),
        '[' => "-lsb-".into(),
        ']' => "-rsb-".into(),
        '{' => "-lcb-".into(),
        '}' => "-rcb-".into(),
        '\u{20ac}' | '\u{80}' => "$".into(),
        '\u{a3}' => "#".into(),
        '\u{a2}' => "cents".into(),
        '\u{bc}' => "1/4".into(),
        '\u{bd}' => "1/2".into(),
        '\u{be}' => "3/4".into(),
        '\u{2153}' => "1/3".into(),
        '\u{2154}' => "2/3".into(),
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{91}' | '\u{92}' => "'".into(),
        c => text.map_or_else(|| c.to_string().into(), Cow::Borrowed),
    }
}

struct Rule {
    kind: Kind,
    pattern: Regex,
}

/// Abbreviations that keep their full stop wherever they stand.
const ABBREVIATIONS: &str = "jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu(?:rs)?|\
    fri|ala|ariz|(?-i:[Aa]la|Ark)|calif|colo|conn|ct|dak|(?-i:Del)|fla|ga|(?-i:Ill)|ind|kans?|ky|\
    (?-i:La)|(?-i:Mass)|md|mich|minn|(?-i:Miss)|mo|mont|neb|nev|okla|(?-i:Ore)|(?-i:Pa)|penn|tenn|\
    (?-i:Tex)|va|vt|(?-i:Wash)|wisc?|wyo|inc|cos?|corp|pty|pte|ltd|plc|bancorp|bhd|bldg|dept|assn|\
    univ|intl|sys|invt|elec|natl|mfg|jr|sr|bros|blvd|rd|esq|mr|mrs|ms|drs?|profs?|sens?|reps?|\
    attys?|lt|col|gen|messrs|mme|mlle|govs?|adm|rev|maj|sgt|cpl|pvt|mt|capt|ste?|ave|pres|lieut|\
    hon|brig|co?mdr|pfc|spc|supts?|det|etc|al|seq|vs|alex|wm|jos|cie|cf|treas|tel|est|ext|ft|sq|\
    ph|(?:ed|ph)\\.d";

/// Abbreviations that keep it before a number.
const BEFORE_NUMBERS: &str = "nos?|figs?|art|ca|op|pp|prop";

/// Kinds and patterns, the first of several equally long matches winning. In the patterns, AP is
/// an apostrophe, QU an apostrophe or a quotation mark of its size, LET a letter, AN a letter or
/// digit, NUM a number.
const PATTERNS: &[(Kind, &str)] = &[
    // Markup and addresses.
    (Kind::Spaced, r"</?[A-Za-z!?][^<>\r\n]*>"),
    (Kind::Plain, r#"https?://[^\s"<>|()]+[^\s"<>|.!?(){},-]"#),
    (
        Kind::Plain,
        r#"(?:www\.(?:[^\s"<>|.!?(){},]+\.)+[A-Za-z]{2,4}|(?:[^\s"`'<>|.!?(){},$-]+\.)+(?:com|net|org|edu))(?:/[^\s"<>|()]+[^\s"<>|.!?(){},-])?"#,
    ),
    (
        Kind::Plain,
        r#"[A-Za-z0-9][^\s"<>|(){}\[\]@]*@(?:[^\s"<>|(){}.\[\]@]+\.)+[A-Za-z]{2,4}"#,
    ),
    (Kind::Plain, r"@[A-Za-z_][A-Za-z_0-9]*"),
    (Kind::Plain, r"#LET(?:AN|_)*"),
    (Kind::Entity, "&(?:amp|lt|gt|quot|apos);"),
    // Words that are two.
    (Kind::Plain, "(?i)(?P<t>can)not"),
    (Kind::Plain, "(?i)(?P<t>gon|wan)na"),
    (Kind::Plain, "(?i)(?P<t>got)ta"),
    (Kind::Plain, "(?i)(?P<t>lem|gim)me"),
    (Kind::Apostrophe, "(?i)(?P<t>APt)(?:is|was)"),
    // Negations, and what is left of them.
    (Kind::Plain, "(?P<t>[A-Za-z]*[A-MO-Za-mo-z])(?i:nAPt)"),
    (Kind::Apostrophe, "(?i)(?P<t>nAPt)(?:[^A-Za-z]|$)"),
    // Possessives and shortened verbs, and what is left of them.
    (Kind::Plain, "(?P<t>WORD)(?i:AP(?:[msd]|re|ve|ll))"),
    (
        Kind::Apostrophe,
        "(?i)(?P<t>AP(?:[msd]|re|ve|ll))(?:[^A-Za-z]|$)",
    ),
    // Words with an apostrophe in them.
    (
        Kind::Apostrophe,
        "(?i)APnAP|(?P<t>APn|APem|APtill?|APcause)(?:[^A-Za-z]|$)",
    ),
    (
        Kind::Apostrophe,
        "(?i)somethinAP|olAP|AP[2-9]0s|cAPmon|eAPer|yAP",
    ),
    (Kind::Apostrophe, "LET+[aeiouyAEIOUY]QU[aeiouA-Z]LET*"),
    (Kind::Apostrophe, r"(?P<t>AP[0-9][0-9])(?:\s|$)"),
    // Numbers.
    (Kind::Plain, r"[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{2,4}"),
    (
        Kind::Spaced,
        r"(?:[0-9]{1,4}[-\x20\u{a0}])?[0-9]{1,4}/[0-9]{1,4}",
    ),
    (Kind::Plain, "NUM-NUM"),
    (Kind::Plain, "[-+]?NUM"),
    // Words, joined by hyphens, strokes and full stops.
    (
        Kind::Plain,
        "[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",
    ),
    (
        Kind::Mixed,
        "(?:[dDoOlL]QUAN)?AN+(?:[-_](?:[dDoOlL]QUAN)?AN+)*",
    ),
    (Kind::Plain, "WORD"),
    (Kind::Plain, r"[A-Za-z](?:\.[A-Za-z])*\."),
    (Kind::Plain, r"(?i)(?:ABBREVIATIONS)\."),
    (Kind::Plain, r"(?i)(?P<t>(?:BEFORE_NUMBERS)\.)\s*[0-9]"),
    (Kind::Plain, "[A-Z]+(?:[+&][A-Z]+)+"),
    (Kind::Plain, r"[Cc]\+\+|[Cc]#"),
    (Kind::Plain, r"[A-Z]*\$"),
    // Punctuation.
    (
        Kind::Brackets,
        r"(?P<t>[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])(?:[^A-Za-z]|$)",
    ),
    (
        Kind::Dropped,
        r"\.{3,5}|(?:\.[\x20\u{a0}]){2,4}\.|[\u{85}\u{2026}]",
    ),
    (Kind::Plain, "[?!]+"),
    (Kind::Dropped, r"-{2,}|[\u{96}\u{97}\u{2013}-\u{2015}]"),
    (Kind::Plain, r"\*+"),
    (
        Kind::Dropped,
        r#"``|''|["\u{93}\u{94}\u{ab}\u{bb}\u{201c}-\u{201f}]"#,
    ),
];

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let compiled = PATTERNS.iter().filter_map(|(kind, pattern)| {
        let pattern = pattern
            .replace("ABBREVIATIONS", ABBREVIATIONS)
            .replace("BEFORE_NUMBERS", BEFORE_NUMBERS)
            .replace("WORD", r"LETAN*(?:[.!?]LETAN*)*")
            .replace("LET", r"[\p{L}\p{M}\u{ad}]")
            .replace("AN", r"[\p{L}\p{M}\u{ad}\p{Nd}]")
            .replace("AP", r"['\u{92}\u{2019}]")
            .replace("QU", r"['\u{91}\u{92}`\u{2018}\u{2019}\u{201b}]")
            .replace("NUM", "(?:[0-9]*(?:[.:,][0-9]+)+|[0-9]+)");
        let pattern = Regex::new(&format!("^(?:{pattern})")).ok()?;
        Some(Rule {
            kind: *kind,
            pattern,
        })
    });
    compiled.collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(RULES.len(), PATTERNS.len());
    }

    #[test]
    fn words_are_cut_as_the_treebank_does() {
        // Pairs of the original tokeniser's input and output.
        let cases = [
            (
                "The U.S. flag, at 10:30am (10 a.m.)",
                "the u.s. flag at 10:30 am -lrb- 10 a.m. -rrb-",
            ),
            (
                "rock'n'roll o'clock y'all ma'am",
                "rock 'n' roll o'clock y' all ma'am",
            ),
            (
                "he'll cannot couldn\u{2019}t've gonna",
                "he 'll can not could n't 've gon na",
            ),
            ("'70s 1970's the 90's", "'70s 1970 's the 90 's"),
            (
                "#41 $5.00 US$5 \u{20ac}5 \u{a3}3.50 5%",
                "# 41 $ 5.00 us$ 5 $ 5 # 3.50 5 %",
            ),
            (
                "black-and-white t-shirt--new half-",
                "black-and-white t-shirt new half",
            ),
            (
                "he/she w/o AT&T at&t c++ a/b/c",
                "he/she w/o at&t at & t c++ a/b/c",
            ),
            (
                "end.The word!word. No. 5, no. St.",
                "end.the word!word no. 5 no st.",
            ),
            (
                "22 3/4 cups \u{bd} 12/25/2009 1990-1995",
                "22\u{a0}3/4 cups 1/2 12/25/2009 1990-1995",
            ),
            (
                "really?! wow!! what? :) <3",
                "really ?! wow !! what :-rrb- < 3",
            ),
            (
                "'hello there' \"quoted\" \u{201c}curly\u{201d}",
                "hello there quoted curly",
            ),
            (
                "na\u{ef}ve \u{65e5}\u{672c} men's boys' toys",
                "na\u{ef}ve \u{65e5}\u{672c} men 's boys toys",
            ),
        ];
        for (caption, words) in cases {
            assert_eq!(tokenize(caption).join(" "), words, "{caption}");
        }
    }

    #[test]
    fn nothing_has_no_words() {
        assert!(tokenize(" \n . ").is_empty());
    }
}
