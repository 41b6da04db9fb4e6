//! Which characters are letters and which are numbers, as `\p{L}` and `\p{N}` have it.

/// What the patterns of tokenizers tell apart; as bits, so that several can be meant.
pub(super) type Class = u8;
/// `\p{L}`; `char::is_alphabetic` has marks and letter-like numbers too.
pub(super) const LETTER: Class = 1;
/// `\p{N}`.
pub(super) const NUMBER: Class = 2;
/// `\s`.
pub(super) const SPACE: Class = 4;
/// Everything else.
pub(super) const OTHER: Class = 8;

/// What `c` is. The table is walked up to `c`: hundreds of steps for the rarer scripts, and a
/// fraction of what merging costs.
pub(super) fn class(c: char) -> Class {
    if c.is_ascii_alphabetic() {
        return LETTER;
    }
    if c.is_ascii_digit() {
        return NUMBER;
    }
    if c.is_whitespace() {
        return SPACE;
    }
    if c.is_ascii() {
        return OTHER;
    }
    let (mut next, mut value, mut shift, mut gap) = (0, 0, 0, true);
    for &byte in &RANGES {
        value |= u32::from(byte & 127) << shift;
        shift += 7;
        if byte >= 128 {
            continue;
        }
        if gap {
            next += value;
            if u32::from(c) < next {
                break;
            }
        } else {
            next += value / 2 + 1;
            if u32::from(c) < next {
                return [LETTER, NUMBER][(value & 1) as usize];
            }
        }
        (value, shift, gap) = (0, 0, !gap);
    }
    OTHER
}

/// Letters and numbers of Unicode 16: from the end of one range to the beginning of the next, then
/// twice the range's length less one, plus 1 for numbers; each in groups of seven bits, lowest
/// first, all but the last with the eighth bit set. Ranges between which no character is assigned
/// are one. The test below says what they must be.
#[rustfmt::skip]
const RANGES: [u8; 1115] = [
    48, 19, 7, 50, 6, 50, 47, 0, 7, 3, 1, 0, 3, 1, 0, 0, 1, 5, 1, 44, 1, 60, 1, 146, 7, 4, 22, 14,
    8, 7, 0, 1, 0, 129, 1, 8, 1, 14, 1, 0, 6, 0, 1, 218, 1, 1, 148, 2, 8, 158, 3, 6, 80, 71, 68,
    45, 84, 21, 19, 4, 2, 1, 196, 1, 1, 0, 15, 2, 7, 2, 0, 19, 0, 4, 2, 0, 16, 0, 1, 58, 29, 176,
    1, 11, 0, 14, 19, 0, 64, 9, 2, 4, 0, 5, 42, 4, 0, 9, 0, 3, 0, 23, 48, 7, 78, 1, 10, 17, 82,
    58, 106, 3, 0, 18, 0, 7, 18, 4, 19, 1, 30, 4, 104, 3, 0, 16, 0, 13, 10, 4, 19, 0, 2, 2, 11, 2,
    0, 8, 104, 31, 10, 7, 19, 2, 4, 16, 104, 3, 0, 18, 34, 4, 19, 9, 0, 11, 104, 3, 0, 30, 10, 4,
    19, 1, 0, 0, 11, 11, 108, 22, 0, 21, 25, 18, 104, 3, 0, 26, 18, 4, 19, 8, 13, 1, 0, 4, 104, 3,
    0, 31, 8, 4, 19, 1, 2, 17, 108, 2, 0, 16, 0, 5, 4, 1, 13, 0, 4, 4, 37, 1, 10, 5, 130, 1, 31,
    19, 17, 94, 1, 2, 12, 12, 9, 19, 39, 94, 1, 2, 9, 18, 9, 19, 2, 72, 31, 39, 12, 88, 27, 8,
    115, 84, 20, 0, 0, 19, 6, 10, 4, 6, 3, 0, 3, 2, 7, 4, 4, 24, 12, 0, 1, 19, 6, 180, 1, 1, 188,
    9, 14, 39, 3, 30, 16, 186, 1, 3, 214, 9, 2, 32, 1, 50, 5, 148, 1, 3, 5, 0, 64, 13, 36, 14, 34,
    14, 32, 15, 102, 35, 0, 4, 0, 3, 51, 22, 19, 6, 200, 1, 2, 66, 1, 232, 1, 39, 19, 0, 242, 1,
    6, 21, 37, 44, 9, 104, 43, 51, 13, 0, 93, 92, 17, 14, 3, 19, 41, 58, 13, 2, 0, 19, 0, 86, 26,
    70, 28, 19, 3, 4, 0, 19, 0, 70, 2, 126, 41, 6, 1, 10, 1, 2, 3, 138, 3, 64, 248, 6, 1, 0, 3,
    20, 3, 22, 4, 24, 5, 20, 115, 1, 0, 0, 2, 11, 5, 0, 0, 19, 6, 24, 101, 0, 4, 0, 2, 18, 1, 0,
    3, 8, 6, 0, 1, 0, 1, 0, 1, 6, 1, 20, 2, 6, 5, 8, 4, 0, 1, 101, 0, 2, 0, 9, 214, 5, 119, 78,
    43, 246, 4, 59, 236, 8, 200, 3, 6, 6, 3, 2, 9, 1, 2, 222, 1, 16, 188, 1, 80, 0, 213, 3, 2, 0,
    1, 25, 17, 7, 8, 2, 5, 0, 2, 4, 170, 1, 6, 4, 1, 178, 1, 1, 164, 2, 3, 7, 10, 62, 48, 30, 32,
    19, 30, 15, 1, 29, 32, 19, 39, 29, 192, 2, 254, 102, 64, 152, 218, 2, 67, 90, 2, 152, 4, 3,
    30, 0, 19, 0, 136, 1, 16, 60, 2, 138, 1, 0, 19, 39, 16, 2, 204, 1, 2, 236, 1, 1, 4, 1, 6, 1,
    44, 13, 11, 10, 102, 14, 98, 28, 19, 24, 10, 3, 0, 1, 2, 1, 19, 0, 54, 10, 44, 25, 56, 7, 92,
    28, 0, 0, 19, 6, 8, 1, 18, 0, 19, 0, 92, 23, 4, 1, 14, 4, 19, 6, 44, 3, 0, 3, 98, 1, 0, 3, 2,
    2, 8, 2, 0, 1, 54, 2, 20, 7, 4, 12, 178, 1, 1, 26, 6, 228, 1, 13, 19, 6, 246, 175, 1, 132, 66,
    186, 8, 1, 18, 1, 142, 2, 33, 212, 5, 18, 238, 1, 40, 22, 116, 152, 2, 19, 19, 7, 50, 6, 50,
    11, 236, 1, 35, 244, 3, 12, 89, 12, 113, 17, 3, 244, 1, 160, 1, 16, 53, 4, 62, 0, 7, 9, 38, 0,
    1, 0, 14, 0, 1, 5, 74, 10, 58, 2, 94, 1, 9, 42, 186, 2, 2, 19, 6, 230, 2, 12, 202, 11, 2, 15,
    0, 44, 2, 13, 0, 60, 8, 17, 48, 42, 5, 9, 0, 42, 0, 11, 4, 50, 70, 110, 4, 3, 0, 2, 0, 127, 0,
    0, 15, 74, 10, 17, 23, 56, 0, 3, 1, 56, 0, 5, 32, 14, 1, 54, 6, 9, 16, 106, 10, 42, 2, 15, 0,
    36, 5, 15, 0, 34, 23, 13, 80, 228, 3, 7, 11, 0, 70, 12, 51, 0, 54, 9, 44, 218, 1, 61, 1, 82,
    6, 40, 59, 56, 0, 19, 0, 60, 11, 7, 27, 34, 46, 40, 0, 13, 20, 44, 12, 104, 26, 59, 1, 2, 2,
    0, 13, 88, 32, 48, 7, 19, 9, 70, 15, 19, 4, 0, 2, 86, 3, 0, 12, 94, 14, 6, 11, 19, 0, 0, 1, 0,
    4, 39, 11, 86, 19, 2, 63, 80, 7, 92, 17, 19, 11, 104, 3, 0, 18, 0, 12, 8, 30, 110, 25, 0, 1,
    0, 44, 104, 18, 6, 5, 19, 5, 160, 1, 20, 2, 1, 0, 8, 19, 166, 1, 92, 41, 6, 36, 94, 20, 0, 11,
    19, 38, 84, 13, 0, 7, 71, 28, 52, 21, 23, 4, 214, 3, 116, 126, 0, 37, 12, 96, 15, 0, 1, 0, 14,
    19, 70, 96, 16, 0, 1, 0, 28, 0, 10, 78, 7, 0, 21, 0, 11, 90, 19, 0, 18, 144, 1, 199, 1, 64,
    15, 19, 6, 92, 17, 0, 15, 57, 5, 58, 112, 96, 21, 0, 9, 19, 6, 82, 14, 0, 7, 19, 182, 2, 36,
    15, 0, 1, 94, 28, 19, 86, 0, 15, 41, 43, 178, 14, 102, 221, 1, 17, 224, 45, 15, 222, 16, 17,
    10, 25, 250, 178, 1, 18, 19, 198, 13, 188, 9, 1, 19, 6, 156, 1, 1, 19, 6, 58, 18, 94, 16, 6,
    12, 35, 1, 146, 8, 3, 19, 198, 1, 126, 0, 45, 105, 148, 1, 5, 0, 66, 156, 1, 1, 0, 28, 178,
    178, 2, 214, 32, 19, 198, 11, 103, 108, 49, 135, 1, 128, 11, 1, 48, 1, 60, 1, 48, 1, 60, 1,
    48, 1, 60, 1, 48, 1, 60, 1, 48, 1, 14, 2, 99, 128, 14, 84, 133, 2, 122, 146, 1, 88, 10, 12, 2,
    19, 4, 0, 193, 2, 58, 18, 86, 4, 19, 214, 3, 54, 4, 19, 214, 1, 58, 2, 0, 0, 19, 229, 3, 200,
    3, 2, 17, 48, 134, 1, 7, 0, 4, 19, 151, 6, 117, 1, 5, 1, 249, 1, 1, 29, 194, 1, 246, 2, 196,
    4, 25, 227, 21, 19, 134, 8, 222, 142, 9,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;

    use super::*;

    #[test]
    #[allow(clippy::unwrap_used)]
    fn classes_are_those_of_regular_expressions() {
        let [letter, number, space, none] =
            [r"^\p{L}", r"^\p{N}", r"^\s", r"^\p{Cn}"].map(|it| Regex::new(it).unwrap());
        let mut unlike = BTreeSet::new();
        let (mut table, mut next, mut last) = (Vec::new(), 0, None);
        let mut gap_is_empty = true;
        let mut put = |mut value: u32| {
            while value >= 128 {
                table.push(value as u8 | 128);
                value >>= 7;
            }
            table.push(value as u8);
        };
        let (mut first, mut end) = (0, 0);
        for c in '\0'..=char::MAX {
            let mut utf8 = [0; 4];
            let text: &str = c.encode_utf8(&mut utf8);
            let wanted = match () {
                () if letter.is_match(text) => LETTER,
                () if number.is_match(text) => NUMBER,
                () if space.is_match(text) => SPACE,
                () => OTHER,
            };
            if none.is_match(text) {
                continue;
            }
            if class(c) != wanted {
                unlike.insert(c.escape_unicode().to_string());
            }
            if !matches!(wanted, LETTER | NUMBER) {
                gap_is_empty = false;
                continue;
            }
            if last != Some(wanted) || !gap_is_empty {
                if let Some(last) = last {
                    put(first - next);
                    put((end - first) * 2 + u32::from(last == NUMBER));
                    next = end + 1;
                }
                first = c.into();
            }
            (end, last, gap_is_empty) = (c.into(), Some(wanted), true);
        }
        put(first - next);
        put((end - first) * 2 + u32::from(last == Some(NUMBER)));
        assert_eq!(table, RANGES, "the table, made anew");
        assert_eq!(unlike, BTreeSet::new());
    }
}
