//! Protocol Buffers as bytes: numbers of fields and what they hold
//! (protobuf.dev, "Encoding").

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
}

/// The fields of a message; `None` at its end or where it is damaged, which `is_sound` tells.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    damaged: bool,
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            damaged: false,
        }
    }

    /// Whether nothing was wrong so far.
    pub fn is_sound(&self) -> bool {
        !self.damaged
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn field(&mut self) -> Option<(u64, Held<'a>)> {
        let key = self.number()?;
        let held = match key & 7 {
            0 => Held::Number(self.number()?),
            1 => Held::Fixed64(self.fixed()?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Held::Bytes(bytes)
            }
            5 => Held::Fixed32(self.fixed()?),
            _ => return None,
        };
        Some((key >> 3, held))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Held<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.damaged {
            return None;
        }
        let field = self.field();
        self.damaged = field.is_none();
        field
    }
}
