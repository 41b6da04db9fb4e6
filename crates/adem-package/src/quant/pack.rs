//! Codes in words and out of them; the order is the [module](super)'s.

use super::{BLOCK, Scheme};

/// Packs the codes of a block into its words. Codes are in the scheme's range.
pub(super) fn pack(scheme: Scheme, codes: &[i8; BLOCK], words: &mut [u32]) {
    match scheme {
        Scheme::Q4 => {
            for (k, word) in words.iter_mut().enumerate() {
                let byte = |j: usize| {
                    let (low, high) = (codes[4 * k + j] as u8, codes[16 + 4 * k + j] as u8);
                    (low & 0xf) | (high << 4)
                };
                *word = u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]);
            }
        }
        Scheme::Q8 => {
            for (word, codes) in words.iter_mut().zip(codes.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(codes.map(|code| code as u8));
            }
        }
    }
}

/// The codes of a q4 block.
#[inline(always)]
pub(super) fn unpack4(words: &[u32; 4]) -> [i8; BLOCK] {
    let bytes: [u8; 16] = bytemuck::cast(words.map(u32::to_le));
    let mut codes = [0; BLOCK];
    for (i, byte) in bytes.into_iter().enumerate() {
        codes[i] = ((byte << 4) as i8) >> 4;
        codes[16 + i] = (byte as i8) >> 4;
    }
    codes
}

/// The codes of a q8 block.
#[inline(always)]
pub(super) fn unpack8(words: &[u32; 8]) -> [i8; BLOCK] {
    bytemuck::cast(words.map(u32::to_le))
}

/// The codes of a block; `words` are [`Scheme::words`] many.
pub(super) fn unpack(scheme: Scheme, words: &[u32]) -> [i8; BLOCK] {
    match (scheme, words.first_chunk(), words.first_chunk()) {
        (Scheme::Q4, Some(words), _) => unpack4(words),
        (Scheme::Q8, _, Some(words)) => unpack8(words),
        _ => [0; BLOCK],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_written_out_by_hand() {
        let mut codes = [0i8; BLOCK];
        for (column, code) in [
            (0, 1),
            (1, -1),
            (3, 7),
            (4, -8),
            (16, 2),
            (19, -8),
            (31, -3),
        ] {
            codes[column] = code;
        }
        let mut four = [0; 4];
        pack(Scheme::Q4, &codes, &mut four);
        // Word 0: columns 0..4 low, 16..20 high; word 3: columns 12..16 low, 28..32 high.
        assert_eq!(four, [0x8700_0f21, 0x0000_0008, 0, 0xd000_0000]);
        let mut eight = [0; 8];
        pack(Scheme::Q8, &codes, &mut eight);
        assert_eq!(
            eight,
            [
                0x0700_ff01,
                0x0000_00f8,
                0,
                0,
                0xf800_0002,
                0,
                0,
                0xfd00_0000
            ]
        );
    }

    proptest! {
        #[test]
        fn codes_come_back(raw: [i8; BLOCK]) {
            let mut words = [0u32; 8];
            pack(Scheme::Q8, &raw, &mut words);
            prop_assert_eq!(unpack(Scheme::Q8, &words), raw);
            let codes = raw.map(|code| code >> 4);
            pack(Scheme::Q4, &codes, &mut words[..4]);
            prop_assert_eq!(unpack(Scheme::Q4, &words[..4]), codes);
        }

        #[test]
        fn any_words_are_codes_that_pack_to_them(raw: [u32; 8]) {
            let mut words = [0; 8];
            pack(Scheme::Q8, &unpack(Scheme::Q8, &raw), &mut words);
            prop_assert_eq!(words, raw);
            pack(Scheme::Q4, &unpack(Scheme::Q4, &raw[..4]), &mut words[..4]);
            prop_assert_eq!(&words[..4], &raw[..4]);
        }
    }
}
